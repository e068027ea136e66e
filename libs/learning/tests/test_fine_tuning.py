"""What a fine-tuning is told and tells, and in what order it sees its photos."""

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from laundry_learning.fine_tuning.contract import Correction, Line, Order
from laundry_learning.fine_tuning.recipe import Recipe, draw_order


@settings(deadline=None, max_examples=80)
@given(
    photos=st.integers(0, 400),
    shares=st.lists(st.floats(0.01, 1), max_size=200),
    repeats=st.floats(0.5, 6),
    seed=st.integers(0, 99),
)
def test_an_epoch_shows_every_photo_once_and_corrections_within_bounds(
    photos: int, shares: list[float], repeats: float, seed: int
) -> None:
    recipe = Recipe(epochs=1, rate=1e-3, view=96, repeats=repeats)
    order = draw_order(np.random.default_rng(seed), photos, np.array(shares), recipe)
    times = np.bincount(order, minlength=photos + len(shares))
    assert (times[:photos] == 1).all()
    assert (times[photos:] <= np.ceil(np.array(shares) * repeats + 1e-9)).all()
    expected = min(float(np.sum(shares)) * repeats, photos)
    assert times[photos:].sum() <= expected + len(shares)


def test_many_corrections_fill_no_more_than_half_of_an_epoch() -> None:
    order = draw_order(
        np.random.default_rng(0), 500, np.ones(4000), Recipe(epochs=1, rate=1e-3, view=96, repeats=3)
    )
    assert 0.45 < (order >= 500).mean() < 0.55


FACTS = {
    "run_id": "r1",
    "base_version": "m2",
    "base_sha256": "c" * 64,
    "started_from": "m1",
    "holdout_sha256": "d" * 64,
    "epochs": 2,
    "rate": 0.1,
    "most_photos": 0,
    "examples_learnt": 3,
    "examples_judging": 0,
    "examples_left_out": {"photo missing": 2},
    "examples_sha256": "e" * 64,
}


def order(**changes: object) -> Order:
    values: dict[str, object] = {
        "version": "1",
        "data": Path("/data"),
        "input_size": 108,
        "view_size": 96,
        "epochs": 2,
        "rate": 0.1,
        "threads": 1,
        "photos": 0,
        "corrections": [Correction(photo="a" * 64, target=1, weight=0.1)],
        "forbidden": ["b" * 64],
        "facts": FACTS,
    }
    return Order.model_validate(values | changes)


def test_an_order_is_the_same_work_whatever_it_is_called(tmp_path: Path) -> None:
    order().save(tmp_path)
    kept = Order.load(tmp_path)
    assert kept == order()
    assert kept.same_work(order(version="2"))
    changes: list[dict[str, Any]] = [
        {"epochs": 3},
        {"corrections": []},
        {"facts": {**FACTS, "examples_learnt": 4}},
    ]
    for change in changes:
        assert not kept.same_work(order(**change))


@given(text=st.text() | st.sampled_from(['{"done": 2}', "[]", "null", '{"done": "x"}']))
def test_other_output_of_the_trainer_is_no_news(text: str) -> None:
    line = Line.read(text)
    assert line is None or line == Line()
    assert Line.read('{"done": 0.5, "note": "hm"}') == Line(done=0.5, note="hm")
