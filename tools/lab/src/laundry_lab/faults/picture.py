"""The plot of a run: accepted and read photos, backlog, and faults over time."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laundry_lab.faults.load import Load

INK, SECOND, SPAN, ALARM = "#1b4965", "#2a9d8f", "#ffb4a2", "#c1121f"
WINDOW_S = 3.0


def draw(path: Path, load: Load, marks: Sequence[tuple[float, float, str]]) -> None:
    """Write a PNG: what was accepted and read a second, what waited, and when which fault was."""
    points = load.points
    length = max([point.at for point in points] + [end for _, end, _ in marks] + [1.0])
    # A fault's name stands upright above its span: wide enough that neighbours' names stay apart.
    figure = Figure(figsize=(max(12.0, min(30.0, 0.3 * len(marks) + length / 60)), 7.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    times = [point.at for point in points]
    above.plot(
        times,
        _rate(times, [point.accepted for point in points]),
        color=SECOND,
        linewidth=1.2,
        label="photos accepted a second",
    )
    known = [
        (point.at, point.read, point.accepted - point.read) for point in points if point.read is not None
    ]
    read_times = [at for at, _, _ in known]
    above.plot(
        read_times,
        _rate(read_times, [read for _, read, _ in known]),
        color=INK,
        linewidth=1.2,
        label="photos read a second",
    )
    below.fill_between(read_times, [max(0, waiting) for _, _, waiting in known], color=ALARM, alpha=0.25)
    below.plot(read_times, [max(0, waiting) for _, _, waiting in known], color=ALARM, linewidth=1.2)
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, length)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
        for start, end, _ in marks:
            axes.axvspan(start, max(end, start + 0.5), color=SPAN, alpha=0.4, linewidth=0)
    _name(above, marks, length)
    above.set_ylabel("photos a second")
    above.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, -0.02), ncols=2)
    below.set_ylabel("accepted, not yet read")
    below.set_xlabel("seconds; shaded while a fault is made, without load while the ledger is compared")
    figure.suptitle("Throughput, backlog and faults", x=0.01, ha="left", fontweight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _name(axes: Axes, marks: Sequence[tuple[float, float, str]], length: float) -> None:
    """Write each fault's name upright above its beginning, clear of the previous name."""
    apart, last = length / 90, -length
    for start, end, name in marks:
        middle = (start + end) / 2
        place = max(middle, last + apart)
        last = place
        axes.annotate(
            name,
            (middle, 1.0),
            xytext=(place, 1.03),
            xycoords=axes.get_xaxis_transform(),
            textcoords=axes.get_xaxis_transform(),
            rotation=90,
            fontsize=8,
            ha="center",
            va="bottom",
            annotation_clip=False,
        )


def _rate(times: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Return the growth a second over the last few seconds before each moment."""
    found, first = [], 0
    for last, at in enumerate(times):
        while times[first] < at - WINDOW_S:
            first += 1
        span = at - times[first]
        found.append((counts[last] - counts[first]) / span if span > 0 else 0.0)
    return found
