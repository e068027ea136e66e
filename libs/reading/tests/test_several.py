"""What a second look finds on a photo of several garments."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from laundry_reading.model import Model, Reading
from laundry_reading.priors import BranchPriors
from laundry_reading.several import CROPS, count_garments, crops_of
from laundry_testing.models import COLOURS, LABELS, SIZE, colour_model, seeing_several

QUARTERS = ((0, 0), (2, 0), (0, 2), (2, 2))


def photo_of(*rows: tuple[str, ...]) -> bytes:
    """A photo in which each named garment covers as much as the others of its row."""
    picture = Image.new("RGB", (480, 480))
    for top, row in enumerate(rows):
        for left, label in enumerate(row):
            wide, high = 480 // len(row), 480 // len(rows)
            picture.paste(COLOURS[label], (left * wide, top * high, (left + 1) * wide, (top + 1) * high))
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def read(photo: bytes, branch_id: str | None = None) -> Reading:
    return Model.load(seeing_several(colour_model("m1", temperature=1.5))).read(photo, branch_id=branch_id)


def found(reading: Reading) -> dict[str, int]:
    return {each.label: each.count for each in reading.labels}


@pytest.mark.parametrize(
    ("rows", "garments"),
    [
        ([("pants", "shoes")], {"pants": 1, "shoes": 1}),
        ([("pants",), ("t-shirt",)], {"pants": 1, "t-shirt": 1}),
        ([("pants", "shoes"), ("shoes", "t-shirt")], {"shoes": 2, "pants": 1, "t-shirt": 1}),
        ([("pants", "shoes"), ("t-shirt",)], {"pants": 1, "shoes": 1, "t-shirt": 1}),
    ],
)
def test_garments_side_by_side_are_listed_with_their_counts(
    rows: list[tuple[str, ...]], garments: dict[str, int]
) -> None:
    reading = read(photo_of(*rows))
    assert reading.multiple
    assert reading.needs_review
    assert found(reading) == garments
    assert reading.labels[0].count == max(garments.values())
    assert all(0.9 < each.confidence <= 1 for each in reading.labels)


def test_one_garment_is_not_looked_at_again() -> None:
    reading = read(photo_of(("pants",)))
    assert not reading.multiple
    assert reading.labels[0].label == "pants"
    assert all(each.count == 1 for each in reading.labels)


def test_where_no_two_garments_are_found_the_best_guess_stays_alone() -> None:
    # Stripes: every part is as mixed as the whole.
    picture = np.zeros((480, 480, 3), dtype=np.uint8)
    picture[:, 0::2], picture[:, 1::2] = COLOURS["pants"], COLOURS["shoes"]
    out = BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    reading = read(out.getvalue())
    assert reading.multiple
    (guess,) = reading.labels
    assert guess.label in {"pants", "shoes"}
    assert guess.count == 1
    assert guess.confidence < 0.6


def test_what_a_branch_sends_counts_for_each_garment() -> None:
    # Between pants and shoes; this branch sends shoes.
    model = Model.load(seeing_several(colour_model("m1", temperature=1.5), threshold=0.2))
    model.priors = BranchPriors({"b1": [1, 0.125, 8]}, labels=3)
    picture = Image.new("RGB", (480, 480), (30, 170, 100))
    picture.paste(COLOURS["t-shirt"], (0, 0, 240, 480))
    out = BytesIO()
    picture.save(out, "PNG")
    assert found(model.read(out.getvalue())) == {"t-shirt": 1, "pants": 1}
    assert found(model.read(out.getvalue(), branch_id="b1")) == {"t-shirt": 1, "shoes": 1}


@pytest.mark.parametrize("edge", [64, 216, 217])
def test_parts_show_their_own_ground_only(edge: int) -> None:
    picture = np.zeros((edge, edge, 3), dtype=np.uint8)
    picture[: edge // 2, : edge // 2, 0] = 200
    parts = crops_of(picture, SIZE)
    assert parts.shape == (len(CROPS), SIZE, SIZE, 3)
    seen = {
        (crop.left, crop.top): cut.mean()
        for crop, cut in zip(CROPS, parts, strict=True)
        if (crop.wide, crop.high) == (2, 2)
    }
    assert seen[0, 0] == pytest.approx(200 / 3, abs=2)
    assert all(seen[corner] < 2 for corner in QUARTERS[1:])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 5))
def test_no_ground_is_counted_twice_and_nothing_unsure(seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, spread, (len(CROPS), len(LABELS)))
    probs = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    several = random.uniform(0, 1, len(CROPS)).astype(np.float32)
    garments = count_garments(probs, several)
    total = sum(each.count for each in garments)
    # Four quarters are the most that share no ground.
    assert total == 0 or 2 <= total <= 4
    assert len({each.index for each in garments}) == len(garments)
    assert [each.count for each in garments] == sorted((each.count for each in garments), reverse=True)
    sure = (probs.max(axis=1) * (1 - several) >= 0.4).sum()
    assert total <= sure
    assert all(each.confidence >= 0.4 for each in garments)
