"""What a branch usually sends, and what that makes of a model's probabilities."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_reading.model import Model, ModelError
from laundry_reading.priors import MOST, BranchPriors, BrokenPriors
from laundry_testing.models import LABELS, colour_model, photo_of

ratios = st.lists(st.floats(1 / MOST, MOST), min_size=3, max_size=3)
shares = st.lists(st.floats(0.001, 1), min_size=3, max_size=3)


@given(own=ratios, raw=shares)
def test_probabilities_stay_probabilities_and_lean_towards_what_is_sent(
    own: list[float], raw: list[float]
) -> None:
    probs = np.array(raw) / sum(raw)
    said = BranchPriors({"b1": own}, labels=3).applied(probs, "b1")
    assert said.sum() == pytest.approx(1)
    assert said / said.max() == pytest.approx(probs * own / (probs * own).max(), rel=1e-4)


@given(raw=shares, branch=st.sampled_from(["b2", None]))
def test_a_branch_that_is_not_known_is_read_as_before(raw: list[float], branch: str | None) -> None:
    probs = np.array(raw) / sum(raw)
    assert BranchPriors({"b1": [8, 1, 1]}, labels=3).applied(probs, branch) is probs


def test_many_photos_at_once_are_read_as_one_by_one() -> None:
    priors = BranchPriors({"b1": [4, 1, 0.5]}, labels=3)
    probs = np.random.default_rng(1).dirichlet(np.ones(3), 6).astype(np.float32)
    together = priors.applied(probs, "b1")
    assert together.dtype == np.float32
    assert np.allclose(together, [priors.applied(row, "b1") for row in probs])


@given(known=st.dictionaries(st.text(max_size=8), ratios, max_size=4))
def test_what_is_written_is_read_again(known: dict[str, list[float]]) -> None:
    written = BranchPriors(known, labels=3).to_json()
    again = BranchPriors.from_json(written, labels=3)
    assert len(again) == len(known)
    assert again.to_json() == written


BROKEN = [
    "", "[]", "7", "null", '{"b1": 7}', '{"b1": [1, 1]}', '{"b1": [1, 1, "x"]}', '{"b1": [1, 1, 9]}',
    '{"b1": [1, 1, 0]}', '{"b1": [1, 1, NaN]}', '{"b1": [1, 1, null]}', '{"b1": "111"}',
    '{"b1": [1, 1, true]}', '{"b1": [1, 1, "1"]}', '{"b1": [1, 1, 1' + "0" * 400 + "]}",
    "[" * 100_000, '{"b1": {"0": 1}}',
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_no_ratio_by_branch_is_refused(broken: str) -> None:
    with pytest.raises(BrokenPriors):
        BranchPriors.from_json(broken, labels=3)
    with pytest.raises(ModelError, match="metadata"):
        Model.load(with_priors(broken))


def with_priors(text: str) -> bytes:
    file = onnx.load_from_string(colour_model("m1"))
    metadata = {each.key: each.value for each in file.metadata_props}
    onnx.helper.set_model_props(file, {**metadata, "branch_priors": text})
    return bytes(file.SerializeToString())


def test_a_model_reads_a_photo_as_one_of_its_branch() -> None:
    model = Model.load(with_priors(BranchPriors({"b1": [8, 0.125, 0.125]}, labels=3).to_json()))
    photo = photo_of(LABELS[1])
    plain, elsewhere = model.read(photo), model.read(photo, branch_id="b2")
    assert plain == elsewhere
    here = {guess.label: guess.confidence for guess in model.read(photo, branch_id="b1").labels}
    assert here[LABELS[1]] < plain.labels[0].confidence
