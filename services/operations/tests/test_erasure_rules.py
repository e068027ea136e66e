"""When an erasure is repeated and when it is complete: never while anything can bring the person back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.erasures import (
    Backlog,
    Erasure,
    ErasurePart,
    Step,
    Surroundings,
    is_asked_again,
    is_drained,
    names_person,
    next_step,
)

START = datetime(2026, 5, 1, tzinfo=UTC)
LIFE = timedelta(hours=24)
CLEAN = Surroundings(0, drained=True)
AROUND = st.builds(Surroundings, st.none() | st.integers(0, 3), st.booleans())
CONFIRMED = st.lists(st.none() | st.integers(1, 2), min_size=1, max_size=4)


def an_erasure(*confirmed: int | None, attempt: int = 1, final: bool = False) -> Erasure:
    parts = tuple(ErasurePart(f"s{number}", each, {}, None) for number, each in enumerate(confirmed))
    return Erasure("e", "kim", "erased-1", "kim", START, attempt, final, None, None, parts)


@given(CONFIRMED, st.booleans(), AROUND, st.integers(0, 72))
def test_nothing_is_completed_or_repeated_too_early(
    confirmed: list[int | None], final: bool, around: Surroundings, hours: int
) -> None:
    erasure = an_erasure(*confirmed, attempt=2 if final else 1, final=final)
    step = next_step(erasure, around, now=START + timedelta(hours=hours), token_life=LIFE)
    everybody = all((each or 0) >= erasure.attempt for each in confirmed)
    if step is Step.COMPLETE:
        assert everybody and final
    if step is Step.REPEAT:
        assert everybody and not final
        assert around == CLEAN and hours >= 24
    if everybody and (final or (around == CLEAN and hours >= 24)):
        assert step is not Step.WAIT


def test_the_way_of_an_erasure() -> None:
    later = START + LIFE
    assert an_erasure(None, 1).state == "running"
    assert an_erasure(None, 1).missing == ("s0",)
    assert an_erasure(1, 1).state == "settling"
    assert next_step(an_erasure(1, 1), CLEAN, now=START, token_life=LIFE) is Step.WAIT
    assert next_step(an_erasure(1, 1), CLEAN, now=later, token_life=LIFE) is Step.REPEAT
    again = an_erasure(1, 2, attempt=2, final=True)
    assert (again.missing, again.state) == (("s0",), "settling")
    assert next_step(again, CLEAN, now=later, token_life=LIFE) is Step.WAIT


def test_who_has_not_answered_is_asked_again_after_a_while_and_nobody_when_all_have() -> None:
    hour, later = timedelta(hours=1), START + timedelta(hours=3)
    assert not is_asked_again(an_erasure(1, None), now=START + timedelta(minutes=59), after=hour)
    assert is_asked_again(an_erasure(1, None), now=later, after=hour)
    assert is_asked_again(an_erasure(2, 1, attempt=2, final=True), now=later, after=hour)
    assert not is_asked_again(an_erasure(1, 1), now=later, after=hour)
    lately = replace(an_erasure(1, None), asked_at=later - timedelta(minutes=59))
    assert not is_asked_again(lately, now=later, after=hour)
    assert not is_asked_again(replace(an_erasure(1, None), completed_at=START), now=later, after=hour)


def test_queues_are_drained_of_what_is_older_than_the_last_token() -> None:
    def drained(*backlogs: tuple[float | None, float], lag_s: float = 0) -> bool:
        return is_drained((Backlog(*each) for each in backlogs), 5, lag_s=lag_s)

    assert drained()
    assert drained((3.0, 60))
    assert not drained((3.0, 60), (6.0, 60))
    assert not drained((None, 60)), "it may be older than the watch"
    assert not drained((3.0, 60), lag_s=3), "so old may be what the broker tells"
    assert not drained((3.0, 2.0)), "it may have come back from a retry"
    assert not drained((0.0, -1.0)), "it may still come back from a retry"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'{"helper_id": "kim"}', True),
        (b'{"customer_id":"kim","score":1}', True),
        (b'{"helper_id": "kimchi"}', False),
        (b'{"helper_id": "mr-kim"}', False),
        (b'{"helper_id": "kim@example.org"}', False),
        (b"user kim failed", True),
    ],
)
def test_a_letter_names_a_person_by_the_whole_word(text: bytes, found: bool) -> None:
    assert names_person("kim", [b"headers", text]) is found


@given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20))
def test_a_name_is_found_however_json_spells_it(name: str) -> None:
    import json

    for ascii_only in (True, False):
        assert names_person(name, [json.dumps({"id": name}, ensure_ascii=ascii_only).encode()])
