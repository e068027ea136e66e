"""What FCM's answers mean, when to try again, and what a push carries."""

import httpx
import pytest
from firebase_admin import exceptions, messaging
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from notification.fcm import message_of, read_error
from notification.push import FAULT_BACKOFF, RECOMMENDATION_BACKOFF, Push, PushStatus
from notification.settings import Settings


@given(st.integers(1, 1000), st.none() | st.floats(0, 1e6))
def test_faults_back_off_to_half_a_minute_and_as_asked(failures: int, asked: float | None) -> None:
    pause = FAULT_BACKOFF.delay_s(failures, asked)
    assert 0 < pause <= max(FAULT_BACKOFF.longest_s, min(asked or 0, FAULT_BACKOFF.longest_asked_s))
    assert pause >= min(asked or 0, FAULT_BACKOFF.longest_asked_s)


def test_the_first_tries_of_a_fault_fit_into_its_fifteen_seconds() -> None:
    assert sum(FAULT_BACKOFF.delay_s(failures, None) for failures in range(1, 6)) < 10


@given(st.integers(1, 1000), st.none() | st.floats(0, 1e6))
def test_recommendations_back_off_up_to_ten_minutes(failures: int, retry_after: float | None) -> None:
    assert 2 <= RECOMMENDATION_BACKOFF.delay_s(failures, retry_after) <= 600


def response(status: int, retry_after: str | None = None) -> httpx.Response:
    return httpx.Response(status, headers={} if retry_after is None else {"Retry-After": retry_after})


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (messaging.UnregisteredError("gone"), PushStatus.GONE, None),
        (messaging.SenderIdMismatchError("another project's"), PushStatus.REFUSED, None),
        (exceptions.InvalidArgumentError("bad"), PushStatus.REFUSED, None),
        (exceptions.NotFoundError("no such project"), PushStatus.LATER, None),
        (exceptions.UnauthenticatedError("expired"), PushStatus.LATER, None),
        (messaging.QuotaExceededError("slow", http_response=response(429, "7")), PushStatus.LATER, 7.0),
        (exceptions.UnavailableError("away", http_response=response(503, "soon")), PushStatus.LATER, None),
        (exceptions.UnavailableError("away", http_response=response(503)), PushStatus.LATER, None),
        (exceptions.UnknownError("?"), PushStatus.LATER, None),
    ],
)
def test_what_an_answer_of_fcm_means(error: Exception, status: PushStatus, wait: float | None) -> None:
    result = read_error(error)
    assert (result.status, result.retry_after_s) == (status, wait)
    assert type(error).__name__ in str(result.error)


@pytest.mark.parametrize(
    ("urgent", "sound", "silent"),
    [(True, True, False), (True, False, True), (False, False, False)],
    ids=["rings", "updates", "recommends"],
)
def test_an_alert_that_is_only_updated_makes_no_sound(urgent: bool, sound: bool, silent: bool) -> None:
    push = Push("n", "token", {"title": "t", "body": "b"}, {"kind": "k"}, "tag", urgent=urgent, sound=sound)
    sent = message_of(push)
    assert sent.android.notification.default_sound is sound
    assert sent.android.notification.tag == sent.webpush.notification.tag == "tag"
    assert (sent.apns.payload.aps.sound == "default") is sound
    assert sent.webpush.notification.silent is silent
    assert sent.android.priority == ("high" if urgent else "normal")


def test_a_service_that_could_not_push_does_not_start() -> None:
    with pytest.raises(ValidationError, match="LAUNDRY_FCM_CREDENTIALS_FILE"):
        Settings(
            amqp_url="amqp://localhost",
            database_url="postgresql+asyncpg://localhost/x",
            jwks_url="http://localhost",
            jwt_issuer="i",
            fcm_url=None,
            fcm_credentials_file=None,
        )
