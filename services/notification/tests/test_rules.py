"""Texts, what FCM's answers mean, and when to try again."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from firebase_admin import exceptions, messaging
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from notification.fcm import read_error
from notification.matches import LONGEST_PAUSE_S, later
from notification.push import Answer, Push, Verdict, next_pause, push_within
from notification.settings import Settings
from notification.texts import BODY_BYTES, TITLE_BYTES, clip, fault_texts, language_of, match_texts

from .conftest import a_fault

SEOUL = ZoneInfo("Asia/Seoul")
NOON_UTC = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "ko"),
        ("", "ko"),
        ("en", "en"),
        ("EN-us,en;q=0.9", "en"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en;q=0.2, ko;q=0.7", "ko"),
        ("fr, de;q=0.9", "ko"),
        ("fr, en;q=0.1", "en"),
        ("en;q=0", "ko"),
        ("en;q=much", "ko"),
        (";;,=,", "ko"),
    ],
)
def test_language(header: str | None, language: str) -> None:
    assert language_of(header) == language


@given(st.text())
def test_any_header_gives_a_language(header: str) -> None:
    assert language_of(header) in {"ko", "en"}


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(3, 100))
def test_clipping_keeps_whole_characters_within_the_limit(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert len(clipped.encode()) <= limit
    assert clipped == text or (clipped.endswith("…") and text.startswith(clipped[:-1]))


@pytest.mark.parametrize(
    ("changes", "korean", "english"),
    [
        ({}, "세탁기 washer-3 고장 (E21)", "Washer washer-3 failed (E21)"),
        (
            {
                "kind": "boiler",
                "equipment_id": "boiler-1",
                "cause": "limit",
                "fault_code": None,
                "metric": "pressure_bar",
                "value": 6.25,
                "limit": 6,
            },
            "보일러 boiler-1 이상: 압력 6.25 bar (한계 6 bar)",
            "Boiler boiler-1 out of limits: pressure 6.25 bar (limit 6 bar)",
        ),
        (
            {"kind": "dryer", "cause": "heartbeat", "fault_code": None},
            "건조기 washer-3 신호 끊김",
            "Dryer washer-3 sends no signal",
        ),
        (
            {"kind": "press", "cause": "limit", "fault_code": None, "metric": "hum"},
            "press washer-3 이상: hum",
            "Press washer-3 out of limits: hum",
        ),
    ],
)
def test_a_fault_is_told_in_both_languages(changes: dict[str, Any], korean: str, english: str) -> None:
    texts = fault_texts(a_fault(detected_at=NOON_UTC, **changes), SEOUL)
    assert (texts["ko"]["title"], texts["en"]["title"]) == (korean, english)
    assert texts["ko"]["body"].startswith("b1 지점 · 3월 1일 21:05 감지.")
    assert texts["en"]["body"].startswith("Branch b1 · detected 1 Mar 21:05.")


@given(st.text(max_size=5000), st.text(max_size=5000), st.lists(st.text(max_size=64), max_size=5))
def test_a_recommendation_fits_into_a_push(title: str, text: str, reasons: list[str]) -> None:
    for said in match_texts(branch_id="b1", title=title, text=text, reasons=reasons).values():
        assert len(said["title"].encode(errors="replace")) <= TITLE_BYTES
        assert len(said["body"].encode(errors="replace")) <= BODY_BYTES


@given(
    st.integers(1, 100),
    st.none() | st.floats(0, 1e6),
    st.floats(-1, 60),
    st.floats(0.1, 10),
)
def test_every_retry_can_end_within_the_budget(
    tries: int, retry_after: float | None, left: float, attempt: float
) -> None:
    pause = next_pause(tries, retry_after, left, attempt)
    if left <= attempt:
        assert pause is None
    else:
        assert pause is not None
        assert 0 < pause <= left - attempt
        if retry_after is not None and retry_after <= left - attempt:
            assert pause >= retry_after


@given(st.integers(0, 1000), st.none() | st.floats(0, 1e6))
def test_recommendations_back_off_up_to_ten_minutes(attempts: int, retry_after: float | None) -> None:
    assert 2 <= later(attempts, retry_after) <= LONGEST_PAUSE_S


def a_push(token: str) -> Push:
    return Push("n1", token, {"title": "t", "body": "b"}, {"kind": "equipment_fault"}, "e1", urgent=True)


class Scripted:
    """Gives each token its answers in turn, the last for ever."""

    def __init__(self, **answers: list[Verdict]) -> None:
        self.answers = answers
        self.tries: dict[str, int] = dict.fromkeys(answers, 0)

    async def push(self, push: Push) -> Answer:
        await asyncio.sleep(0)
        number = self.tries[push.token]
        self.tries[push.token] += 1
        answers = self.answers[push.token]
        return Answer(answers[min(number, len(answers) - 1)])


async def test_each_device_is_retried_apart_and_settled_once() -> None:
    later_, sent = Verdict.LATER, Verdict.SENT
    pusher = Scripted(good=[sent], slow=[later_, sent], gone=[Verdict.GONE], bad=[Verdict.REFUSED])
    settled: list[tuple[str, Verdict]] = []

    async def settle(push: Push, answer: Answer) -> None:
        settled.append((push.token, answer.verdict))

    pushes = [a_push(token) for token in ("slow", "good", "gone", "bad")]
    answers = await push_within(pusher, pushes, budget_s=5, attempt_s=1, settle=settle)
    assert [answer.verdict for answer in answers] == [sent, sent, Verdict.GONE, Verdict.REFUSED]
    assert pusher.tries == {"good": 1, "slow": 2, "gone": 1, "bad": 1}
    assert sorted(settled) == sorted(
        [("good", sent), ("slow", sent), ("gone", Verdict.GONE), ("bad", Verdict.REFUSED)]
    )
    assert settled[-1] == ("slow", sent)


async def test_without_budget_nothing_is_tried_twice() -> None:
    pusher = Scripted(slow=[Verdict.LATER])

    async def settle(push: Push, answer: Answer) -> None:
        assert answer.verdict is Verdict.LATER

    await push_within(pusher, [a_push("slow")], budget_s=0.5, attempt_s=1, settle=settle)
    assert pusher.tries == {"slow": 1}


def response(status: int, retry_after: str | None = None) -> httpx.Response:
    return httpx.Response(status, headers={} if retry_after is None else {"Retry-After": retry_after})


@pytest.mark.parametrize(
    ("error", "verdict", "wait"),
    [
        (messaging.UnregisteredError("gone"), Verdict.GONE, None),
        (messaging.SenderIdMismatchError("another project's"), Verdict.REFUSED, None),
        (exceptions.InvalidArgumentError("bad"), Verdict.REFUSED, None),
        (exceptions.NotFoundError("no such project"), Verdict.LATER, None),
        (exceptions.UnauthenticatedError("expired"), Verdict.LATER, None),
        (messaging.QuotaExceededError("slow", http_response=response(429, "7")), Verdict.LATER, 7.0),
        (exceptions.UnavailableError("away", http_response=response(503, "soon")), Verdict.LATER, None),
        (exceptions.UnavailableError("away", http_response=response(503)), Verdict.LATER, None),
        (exceptions.UnknownError("?"), Verdict.LATER, None),
    ],
)
def test_what_an_answer_of_fcm_means(error: Exception, verdict: Verdict, wait: float | None) -> None:
    answer = read_error(error)
    assert (answer.verdict, answer.retry_after_s) == (verdict, wait)
    assert type(error).__name__ in str(answer.error)


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
