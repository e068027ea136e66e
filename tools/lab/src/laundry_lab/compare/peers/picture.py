"""The comparison as one picture."""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laundry_lab.compare.peers.results import KINDS, Comparison, Kind, Spread
from laundry_lab.report import number

INK, SECOND, ALARM = "#1b4965", "#62b6cb", "#c1121f"
OURS = ("ours", "ours-batched")


def draw(found: Comparison, path: Path) -> None:
    """Write a PNG: rates, latencies, and what a kill lost and doubled; what was not measured says so."""
    kinds = {(kind.measure, kind.name): kind for kind in KINDS}
    figure = Figure(figsize=(13, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    _bars(axes[0][0], found, kinds["speed", "enqueue"], "Tasks accepted a second (more is better)")
    _bars(axes[0][1], found, kinds["speed", "drain"], "Effects a second, of what waits (more is better)")
    _bars(
        axes[1][0], found, kinds["speed", "p99"], "Due → effect at 200/s, p99, ms (less is better)", log=True
    )
    _kills(axes[1][1], found)
    around = found.surroundings
    figure.suptitle(
        f"{found.began_at:%Y-%m-%d %H:%M} UTC, {around.get('cores')} cores, {around.get('nodes')} node(s), "
        "1 KB, persistent, confirmed: medians and ranges"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _bars(axes: Axes, found: Comparison, kind: Kind, title: str, *, log: bool = False) -> None:
    axes.set_title(title, loc="left")
    names = [peer for peer in found.titles if found.values(peer, kind)]
    if not names:
        return _empty(axes)
    spreads = [Spread.of(found.values(peer, kind)) for peer in names]
    middle = [_drawable(each.median) for each in spreads]
    reach = [
        [_drawable(each.median - each.least) for each in spreads],
        [_drawable(each.most - each.median) for each in spreads],
    ]
    colours = [INK if peer in OURS else SECOND for peer in names]
    drawn = axes.barh([found.titles[peer] for peer in names], middle, xerr=reach, color=colours, capsize=4)
    axes.bar_label(drawn, [number(each.median) for each in spreads], padding=8)
    axes.margins(x=0.15)
    if log:
        axes.set_xscale("log")
    axes.invert_yaxis()
    return None


def _drawable(value: float) -> float:
    """Return no bar for what never ended; its label says so."""
    return value if math.isfinite(value) else 0.0


def _kills(axes: Axes, found: Comparison) -> None:
    """Draw what all kills lost and doubled, a bar each."""
    axes.set_title("kill -9: effects lost and doubled, all rounds (less is better)", loc="left")
    shown = {
        name: [kind for kind in KINDS if kind.name == name and kind.summed] for name in ("lost", "doubled")
    }
    names = [peer for peer in found.titles if any(found.values(peer, kind) for kind in shown["lost"])]
    if not names:
        return _empty(axes)
    for turn, (name, colour) in enumerate((("lost", ALARM), ("doubled", SECOND))):
        sums = [sum(sum(found.values(peer, kind)) for kind in shown[name]) for peer in names]
        places = [place + 0.38 * (turn - 0.5) for place in range(len(names))]
        drawn = axes.barh(places, sums, height=0.36, color=colour, label=name)
        axes.bar_label(drawn, [number(each) for each in sums], padding=4)
    axes.set_yticks(range(len(names)), [found.titles[peer] for peer in names])
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.legend(frameon=False)
    return None


def _empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes, color=ALARM)
    axes.set_axis_off()
