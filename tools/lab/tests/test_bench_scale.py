"""What the scale bench calls growth."""

import pytest

from laundry_lab.bench.scale.growth import Growth, Reading, figures, series_of


def readings(growth: Growth, *times: float) -> list[Reading]:
    return [Reading("it", growth, 10**power, ms) for power, ms in enumerate(times, start=4)]


@pytest.mark.parametrize(
    ("growth", "times", "status"),
    [
        ("page", (6, 6, 7), "pass"),
        ("page", (6, 60, 600), "below"),
        # What takes hardly any time grows by noise.
        ("page", (0.1, 0.9, 4), "pass"),
        ("linear", (10, 100, 1000), "pass"),
        ("linear", (10, 1000, 100_000), "below"),
        ("linear", (1000, 100, 10), "pass"),
        # A fixed part of the first times does not hide the steepest step.
        ("linear", (100, 110, 2500), "below"),
    ],
)
def test_what_grows_faster_than_it_should_is_flagged(
    growth: Growth, times: tuple[float, ...], status: str
) -> None:
    last, grown = figures("g", readings(growth, *times))
    assert (last.status, last.value) == ("info", times[-1])
    assert grown.status == status


def test_what_somebody_waits_for_is_held_against_its_bound() -> None:
    late = Reading("a fault rings", "page", 10**4, 1200, at_most_ms=1000)
    [found] = figures("g", [late])
    assert (found.target, found.status) == (1000, "below")


def test_one_step_says_nothing_of_growth() -> None:
    assert [each.name for each in figures("g", readings("page", 3))] == ["it at 10^4"]


def test_steps_are_sorted_into_the_series_of_each_thing() -> None:
    other = Reading("other", "page", 10**4, 1)
    found = series_of([*readings("page", 1, 2)[::-1], other])
    assert [(series.name, [each.ms for each in series.readings]) for series in found] == [
        ("it", [1, 2]),
        ("other", [1]),
    ]
