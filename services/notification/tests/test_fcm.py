"""Google's client against a local FCM: service account credentials, timeouts, dead tokens."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from laundry_testing.plugin import LocalFcm
from notification.fcm import FirebasePusher, message_of
from notification.push import Push, PushStatus

from .conftest import Phones
from .service_account import TokenServer

pytestmark = pytest.mark.servers

Making = Callable[..., AbstractAsyncContextManager[FirebasePusher]]


def a_push(token: str) -> Push:
    return Push("n1", token, {"title": "제목", "body": "b"}, {"kind": "equipment_fault"}, "e1", urgent=True)


def test_fcm_keeps_a_push_only_as_long_as_it_may_be_shown() -> None:
    calm = replace(a_push("t"), urgent=False)
    for push, kept in (
        (a_push("t"), timedelta(hours=1)),
        (calm, timedelta(days=1)),
        (replace(calm, ttl=timedelta(minutes=90)), timedelta(minutes=90)),
    ):
        message = message_of(push)
        assert message.android.ttl == kept
        assert message.webpush.headers["TTL"] == str(int(kept.total_seconds()))
        expires_in = int(message.apns.headers["apns-expiration"]) - time.time()
        assert abs(expires_in - kept.total_seconds()) < 60


@pytest.fixture
def pushing(fcm: LocalFcm) -> Making:
    @asynccontextmanager
    async def make(
        credentials_file: Path | None = None, timeout_s: float = 60
    ) -> AsyncIterator[FirebasePusher]:
        pusher = FirebasePusher(
            url=fcm.url, credentials_file=credentials_file, project_id=None, attempt_timeout_s=timeout_s
        )
        await pusher.start()
        yield pusher
        await pusher.stop()

    return make


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    server = TokenServer(tmp_path)
    yield server
    server.close()


async def test_a_service_account_gets_one_token_for_many_pushes(
    pushing: Making, tokens: TokenServer, phones: Phones
) -> None:
    device = f"phone-{secrets.token_hex(8)}"
    async with pushing(tokens.key()) as pusher:
        for _ in range(3):
            assert (await pusher.push(a_push(device))).status is PushStatus.SENT
    assert len(await phones.got(device)) == 3
    assert [claims["iss"] for claims in tokens.asked] == ["pusher@a-project"]
    assert "https://www.googleapis.com/auth/firebase" in tokens.asked[0]["scope"].split()


async def test_without_an_access_token_a_push_waits_for_later(
    pushing: Making, tokens: TokenServer, phones: Phones
) -> None:
    tokens.close()
    async with pushing(tokens.key(), timeout_s=3) as pusher:
        answer = await pusher.push(a_push("phone"))
    assert answer.status is PushStatus.LATER


async def test_an_fcm_that_does_not_answer_in_time(pushing: Making, phones: Phones) -> None:
    await phones.control(delay_seconds=5, times=1)
    async with pushing(timeout_s=0.3) as pusher:
        answer = await pusher.push(a_push("phone"))
    assert (answer.status, answer.error) == (PushStatus.LATER, "no answer within 0.3 s")


async def test_an_fcm_that_is_not_there(phones: Phones) -> None:
    pusher = FirebasePusher(
        url="http://127.0.0.1:1", credentials_file=None, project_id=None, attempt_timeout_s=60
    )
    await pusher.start()
    answer = await pusher.push(a_push("phone"))
    await pusher.stop()
    assert answer.status is PushStatus.LATER


async def test_each_answer_comes_at_the_first_try(pushing: Making, phones: Phones) -> None:
    """The client's own retries are off: one request, one verdict, and what FCM asks to wait."""
    async with pushing() as pusher:
        await phones.uninstall("gone-phone")
        assert (await pusher.push(a_push("gone-phone"))).status is PushStatus.GONE
        await phones.control(status=503, retry_after_seconds=7, times=1)
        answer = await pusher.push(a_push("phone"))
        assert (answer.status, answer.retry_after_s) == (PushStatus.LATER, 7)
        await phones.control(status=429, retry_after_seconds=9, times=1)
        answer = await pusher.push(a_push("phone"))
        assert (answer.status, answer.retry_after_s) == (PushStatus.LATER, 9)
        await phones.control(status=400, times=1)
        assert (await pusher.push(a_push("phone"))).status is PushStatus.REFUSED
        huge = Push("n1", "phone", {"title": "t", "body": "x" * 5000}, {"kind": "k"}, "e1", urgent=False)
        assert (await pusher.push(huge)).status is PushStatus.REFUSED
