"""The comparison as one small picture: latency, throughput, and what a kill costs."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laundry_lab.compare.approaches.trials import KILLS, Result
from laundry_lab.report import number

INK, SECOND, ALARM, PALE = "#1b4965", "#2a9d8f", "#c1121f", "#ffb4a2"


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
    for turn, (figure, label, colour) in enumerate(figures):
        known = [(at, each.figures[figure]) for at, each in enumerate(results) if figure in each.figures]
        shift = (turn - (len(figures) - 1) / 2) * height
        bars = axes.barh(
            [at + shift for at, _ in known], [value for _, value in known], height, label=label, color=colour
        )
        axes.bar_label(bars, [number(value) for _, value in known], fontsize=7, padding=2)
    _plain(axes, title)
    if axes.patches:
        axes.set_xscale("log")
        axes.set_xlim(right=axes.get_xlim()[1] * 4)
        axes.legend(frameon=False, fontsize=7, loc="upper right")


def _kills(axes: Axes, results: Sequence[Result]) -> None:
    """One cell for each death: lost / doubled, and the seconds until all was as before."""
    for at, each in enumerate(results):
        for column, kind in enumerate(KILLS):
            lost, doubled = each.figures.get(f"{kind}_lost"), each.figures.get(f"{kind}_doubled")
            text, colour = "none", "#eeeeee"
            if lost is not None and doubled is not None:
                text = f"{lost:.0f} / {doubled:.0f}\n{each.figures[f'{kind}_resume_s']:.1f} s"
                colour = ALARM if lost else PALE if doubled else "#d8efe9"
            axes.barh(at, 0.94, 0.86, left=column - 0.47, color=colour)
            ink = "white" if colour == ALARM else "black"
            axes.text(column, at, text, ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(KILLS)), [f"{kind} killed" for kind in KILLS], fontsize=8)
    _plain(axes, "lost / doubled, seconds until as before")


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
