"""The score and the splitting, for every input."""

import json
import math
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from laundry_catalogue.tags import TAGS as CATALOGUE
from laundry_catalogue.tags import tag_words
from laundry_events.envelope import MAX_MESSAGE_BYTES, encode
from laundry_events.events import PreferenceCreated, PreferenceMatch
from search.matching import MAX_REASONS, suitability
from search.schemas import MAX_TAGS, TasteIn
from search.splitting import TooLargeForAMessage, plan_parts, room_for_matches, size_of

TAGS = st.sampled_from(["quiet", "sauna", "pool", "late", "조용한", "parking", "yoga", "24h"])
WEIGHTS = st.floats(0.01, 1)
WEIGHTED = st.dictionaries(TAGS, WEIGHTS, min_size=1, max_size=8)


def test_the_catalogue_holds_tags_that_can_be_stated_each_in_both_languages() -> None:
    assert len({tag.name for tag in CATALOGUE}) == len(CATALOGUE) <= MAX_TAGS
    TasteIn(tags={tag.name: 1 for tag in CATALOGUE})
    for tag in CATALOGUE:
        assert re.search("[가-힣]", tag.ko)
        assert not re.search("[가-힣]", tag.en)
        assert tag.name not in {tag.ko, tag.en}
        assert tag_words(tag.name, "ko") == tag.ko
    assert tag_words("roof_top-bar", "en") == "roof top bar"


def test_the_example_of_the_readme() -> None:
    found = suitability({"quiet": 0.9, "sauna": 0.4}, {"quiet": 0.8, "sauna": 0.6, "pool": 0.5})
    assert found.score == pytest.approx(0.75)
    assert found.reasons == ["quiet", "sauna"]
    assert [share.adds for share in found.shares] == [pytest.approx(0.5), pytest.approx(0.25)]


@given(WEIGHTED, WEIGHTED)
def test_it_lies_between_0_and_1_and_does_not_depend_on_who_asks(
    taste: dict[str, float], offer: dict[str, float]
) -> None:
    there, back = suitability(taste, offer), suitability(offer, taste)
    assert 0 <= there.score <= 1
    assert there.score == pytest.approx(back.score)
    assert there.reasons == back.reasons


@given(WEIGHTED)
def test_it_is_1_for_the_same_and_0_for_nothing_in_common(tags: dict[str, float]) -> None:
    assert suitability(tags, tags).score == pytest.approx(1)
    other = suitability(tags, {f"{tag}-not": weight for tag, weight in tags.items()})
    assert (other.score, other.shares, other.reasons) == (0, (), [])


@given(WEIGHTED, WEIGHTED, TAGS, WEIGHTS)
def test_wanting_more_of_what_is_offered_scores_higher(
    taste: dict[str, float], offer: dict[str, float], tag: str, more: float
) -> None:
    before = taste.get(tag, 0.0)
    wanted = min(offer.get(tag, 0.0), before + more)
    if wanted <= before:
        return
    assert suitability({**taste, tag: wanted}, offer).score > suitability(taste, offer).score - 1e-12


@given(WEIGHTED, WEIGHTED, WEIGHTS)
def test_claiming_what_nobody_asked_for_scores_lower(
    taste: dict[str, float], offer: dict[str, float], weight: float
) -> None:
    stuffed = suitability(taste, {**offer, "everything": weight}).score
    honest = suitability(taste, offer).score
    assert stuffed < honest or honest == 0


@given(WEIGHTED, WEIGHTED)
def test_the_shares_explain_the_score(taste: dict[str, float], offer: dict[str, float]) -> None:
    found = suitability(taste, offer)
    assert math.fsum(share.adds for share in found.shares) == pytest.approx(found.score)
    assert {share.tag for share in found.shares} == taste.keys() & offer.keys()
    added = [share.adds for share in found.shares]
    assert added == sorted(added, reverse=True)
    assert found.reasons == [share.tag for share in found.shares][:MAX_REASONS]


@given(st.lists(st.integers(1, 100), max_size=200), st.integers(100, 500))
def test_parts_take_every_match_and_never_too_much(sizes: list[int], room: int) -> None:
    counts = plan_parts(sizes, room)
    assert sum(counts) == len(sizes)
    assert all(counts)
    start = 0
    parts = []
    for count in counts:
        parts.append(sum(sizes[start : start + count]))
        start += count
    assert all(part <= room for part in parts)
    # As few as going in order allows: no part could have taken the first match of the next.
    firsts = [sizes[sum(counts[: number + 1])] for number in range(len(counts) - 1)]
    assert all(part + first > room for part, first in zip(parts, firsts, strict=False))


def test_a_match_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(TooLargeForAMessage):
        plan_parts([10, 101], 100)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)


@given(
    st.lists(st.tuples(TEXT, st.floats(0, 1), st.lists(TEXT, max_size=5)), min_size=1, max_size=30),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=1000),
    st.dictionaries(TEXT, st.floats(0, 1), max_size=32),
)
def test_an_encoded_part_is_never_larger_than_a_message_may_be(
    found: list[tuple[str, float, list[str]]], text: str, tags: dict[str, float]
) -> None:
    repeated = [
        PreferenceMatch(customer_id=f"{number}{customer}"[:255], score=round(score, 4), reasons=reasons)
        for number in range(20)
        for customer, score, reasons in found
    ]
    empty = PreferenceCreated(
        preference_id="0" * 36,
        branch_id="b" * 40,
        title=text[:100],
        text=text,
        tags=tags,
        matches=[],
        part=999_999,
        parts=999_999,
        created_at=datetime.now(UTC),
    )
    counts = plan_parts(map(size_of, repeated), room_for_matches(empty, source="/search"))
    told: list[str] = []
    for number, count in enumerate(counts, start=1):
        part = repeated[len(told) : len(told) + count]
        event = empty.model_copy(update={"matches": part, "part": number, "parts": len(counts)})
        body = encode(event, source="/search").body
        assert len(body) <= MAX_MESSAGE_BYTES
        told += [match["customer_id"] for match in json.loads(body)["matches"]]
    assert told == [match.customer_id for match in repeated]


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"quiet": 0},
        {"quiet": -0.1},
        {"quiet": 1.1},
        {"quiet": "0.5"},
        {"quiet": True},
        {"quiet": None},
        {"quiet": float("nan")},
        {"Quiet": 0.5},
        {"": 0.5},
        {"-x": 0.5},
        {"a b": 0.5},
        {"x" * 33: 0.5},
        {f"t{number}": 0.5 for number in range(33)},
        ["quiet"],
    ],
)
def test_bad_tags_are_refused(tags: object) -> None:
    with pytest.raises(ValidationError):
        TasteIn.model_validate({"tags": tags})


def test_good_tags_are_taken_and_zeros_left_out() -> None:
    taste = TasteIn.model_validate({"tags": {"quiet": 1, "조용한_방": 0.5, "24h": 0}})
    assert taste.tags == {"quiet": 1, "조용한_방": 0.5}
