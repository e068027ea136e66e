"""What a manifest tells of its model's descent, and what it cannot tell."""

import pytest

from laundry_learning.lineage import other_reviewed_of, training_known_of, view_size_of
from laundry_testing.models import colour_model, manifest_of


@pytest.mark.parametrize(
    "told", ["ninety-six", None, [], {"edge": 96}, True, float("nan"), float("inf"), -1, 10**9]
)
def test_what_is_no_size_of_a_view_stands_in_no_later_runs_way(told: object) -> None:
    # Models are registered for good, and each run starts from one.
    manifest = manifest_of("m-1", colour_model("m-1")).model_copy(update={"lineage": {"view_size": told}})
    assert view_size_of(manifest) == manifest.input_size
    assert view_size_of(manifest.model_copy(update={"lineage": {"view_size": 24}})) == 24


def test_figures_that_are_none_were_not_measured() -> None:
    manifest = manifest_of("m-1", colour_model("m-1"))
    odd = manifest.model_copy(
        update={"lineage": {"training_known": "many"}, "metrics": {"other_reviewed": "most"}}
    )
    assert (training_known_of(odd), other_reviewed_of(odd)) == (None, None)
    good = manifest.model_copy(
        update={"lineage": {"training_known": 3068}, "metrics": {"other_reviewed": 0.9}}
    )
    assert (training_known_of(good), other_reviewed_of(good)) == (3068, 0.9)
