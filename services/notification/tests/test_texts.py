"""The texts that phones show, in both languages."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification.alert_grouping import GroupSummary
from notification.fault_texts import fault_texts, group_texts
from notification.texts import BODY_BYTES, TITLE_BYTES, clip, language_of, match_texts

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


def test_a_fault_that_stands_for_several_says_so() -> None:
    texts = fault_texts(a_fault(count=5), SEOUL)
    assert texts["ko"]["title"] == "세탁기 washer-3 고장 (E21) 외 4건"
    assert texts["en"]["title"] == "Washer washer-3 failed (E21) and 4 more"


@pytest.mark.parametrize(
    ("changes", "korean", "english"),
    [
        (
            {"recorded_at": NOON_UTC - timedelta(hours=1), "received_at": NOON_UTC},
            "b1 지점 · 3월 1일 20:05 발생, 3월 1일 21:05에 늦게 접수. 장비를",
            "Branch b1 · since 1 Mar 20:05, reported late at 1 Mar 21:05. Stop",
        ),
        (
            {"recorded_at": NOON_UTC - timedelta(seconds=90), "received_at": NOON_UTC},
            "b1 지점 · 3월 1일 21:05 감지.",
            "Branch b1 · detected 1 Mar 21:05.",
        ),
        (
            {"recorded_at": NOON_UTC + timedelta(hours=9), "received_at": NOON_UTC, "clock_off": True},
            "b1 지점 · 3월 1일 21:05 접수(기기 시계가 맞지 않음, 기기 시각 3월 2일 06:05).",
            "Branch b1 · reported 1 Mar 21:05 (its clock is off: it says 2 Mar 06:05).",
        ),
        (
            {"received_at": NOON_UTC, "clock_off": True},
            "b1 지점 · 3월 1일 21:05 접수(기기 시계가 맞지 않음).",
            "Branch b1 · reported 1 Mar 21:05 (its clock is off).",
        ),
    ],
)
def test_a_fault_tells_when_it_was_and_when_we_heard_of_it(
    changes: dict[str, Any], korean: str, english: str
) -> None:
    texts = fault_texts(a_fault(detected_at=NOON_UTC, **changes), SEOUL)
    assert texts["ko"]["body"].startswith(korean)
    assert texts["en"]["body"].startswith(english)


@pytest.mark.parametrize(
    ("of", "korean", "english"),
    [
        (
            GroupSummary(("washer-3",), "washer", 1, NOON_UTC),
            ("세탁기 washer-3 고장 (E21)", "b1 지점 · 3월 1일 21:05 감지. 장비를 멈추고 확인해 주세요."),
            ("Washer washer-3 failed (E21)", "Branch b1 · detected 1 Mar 21:05. Stop it and have a look."),
        ),
        (
            GroupSummary(("washer-3",), "washer", 20, NOON_UTC),
            (
                "세탁기 washer-3 고장 (E21) · 모두 20건",
                "b1 지점 · 3월 1일 21:05 감지. 장비를 멈추고 확인해 주세요.",
            ),
            (
                "Washer washer-3 failed (E21) · 20 faults",
                "Branch b1 · detected 1 Mar 21:05. Stop it and have a look.",
            ),
        ),
        (
            GroupSummary(("washer-3", "washer-1", "washer-2"), "washer", 3, NOON_UTC),
            (
                "세탁기 3대 고장",
                "b1 지점 · 3월 1일 21:05부터 washer-3, washer-1, washer-2. "
                "최근: 세탁기 washer-3 고장 (E21). 장비를 멈추고 확인해 주세요.",
            ),
            (
                "3 washers in trouble",
                "Branch b1 · since 1 Mar 21:05: washer-3, washer-1, washer-2. "
                "Latest: Washer washer-3 failed (E21). Stop them and have a look.",
            ),
        ),
        (
            GroupSummary(tuple(f"m{n}" for n in range(1_200)), None, 1_300, NOON_UTC),
            (
                "장비 1,200대 고장",
                "b1 지점 · 3월 1일 21:05부터 m0, m1, m2, m3, m4 외 1,195대. 고장은 모두 1,300건. "
                "최근: 세탁기 washer-3 고장 (E21). 장비를 멈추고 확인해 주세요.",
            ),
            (
                "1,200 machines in trouble",
                "Branch b1 · since 1 Mar 21:05: m0, m1, m2, m3, m4 and 1,195 more. 1,300 faults in all. "
                "Latest: Washer washer-3 failed (E21). Stop them and have a look.",
            ),
        ),
    ],
)
def test_many_faults_are_one_alert_that_counts(
    of: GroupSummary, korean: tuple[str, str], english: tuple[str, str]
) -> None:
    newest = fault_texts(a_fault(detected_at=NOON_UTC), SEOUL)
    texts = group_texts(newest, of, "b1", SEOUL)
    assert (texts["ko"]["title"], texts["ko"]["body"]) == korean
    assert (texts["en"]["title"], texts["en"]["body"]) == english


@given(st.text(max_size=5000), st.text(max_size=5000), st.lists(st.text(max_size=64), max_size=5))
def test_a_recommendation_fits_into_a_push(title: str, text: str, reasons: list[str]) -> None:
    for said in match_texts(branch_id="b1", title=title, text=text, reasons=reasons).values():
        assert len(said["title"].encode(errors="replace")) <= TITLE_BYTES
        assert len(said["body"].encode(errors="replace")) <= BODY_BYTES
