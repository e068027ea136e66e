"""The comparison as one small picture: latency, throughput, and what a kill costs."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laundry_lab.compare.approaches.report import KILLED, cell
from laundry_lab.compare.approaches.trials import KILLS, Result
from laundry_lab.report import number

INK, SECOND, ALARM, PALE = "#1b4965", "#2a9d8f", "#c1121f", "#ffb4a2"
ROOM = 4.0
"""The axis is so much longer than the longest bar, whose figure stands behind it."""


def draw(path: Path, results: Sequence[Result]) -> None:
    """Write the picture (SVG or PNG, by its name)."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    latency, rate, kills = figure.subplots(1, 3, sharey=True)
    names = [each.design.name for each in results]
    _pairs(
        latency,
        results,
        (("effect_p50_ms", "p50", SECOND), ("effect_p99_ms", "p99", INK)),
        "to the effect, ms",
    )
    _pairs(
        rate,
        results,
        (("readings_per_s", "photos read", SECOND), ("effects_per_s", "without work", INK)),
        "effects a second",
    )
    _kills(kills, results)
    latency.set_yticks(range(len(names)), names)
    latency.invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _pairs(
    axes: Axes, results: Sequence[Result], figures: Sequence[tuple[str, str, str]], title: str
) -> None:
    height = 0.8 / len(figures)
    values = [each.figures[figure] for each in results for figure, *_ in figures if figure in each.figures]
    edge = ROOM * max((value for value in values if 0 < value < math.inf), default=1.0)
    for turn, (figure, label, colour) in enumerate(figures):
        known = [(at, each.figures[figure]) for at, each in enumerate(results) if figure in each.figures]
        shift = (turn - (len(figures) - 1) / 2) * height
        # What never came would have no bar, and look best.
        lengths = [min(value, edge) for _, value in known]
        bars = axes.barh([at + shift for at, _ in known], lengths, height, label=label, color=colour)
        labels = [number(value) if math.isfinite(value) else "" for _, value in known]
        axes.bar_label(bars, labels, fontsize=7, padding=2)
        for at, value in known:
            if not math.isfinite(value):
                axes.text(edge, at + shift, "never ", color="white", fontsize=7, ha="right", va="center")
    _plain(axes, title)
    if values:
        axes.set_xscale("log")
        axes.set_xlim(right=edge)
        axes.legend(frameon=False, fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def _kills(axes: Axes, results: Sequence[Result]) -> None:
    """One cell for each death: lost / doubled, and the seconds until all was as before."""
    for at, each in enumerate(results):
        for column, kind in enumerate(KILLS):
            lost, doubled = each.figures.get(f"{kind}_lost"), each.figures.get(f"{kind}_doubled")
            text, colour = "none", "#eeeeee"
            if lost is not None and doubled is not None:
                text = f"{lost:.0f} / {doubled:.0f}\n{cell(each.figures[f'{kind}_resume_s'], 's')}"
                colour = ALARM if lost else PALE if doubled else "#d8efe9"
            axes.barh(at, 0.94, 0.86, left=column - 0.47, color=colour)
            ink = "white" if colour == ALARM else "black"
            axes.text(column, at, text, ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(KILLS)), [KILLED[kind].replace(" or ", " or\n") for kind in KILLS], fontsize=8)
    _plain(axes, "lost / doubled, seconds until as before")


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
