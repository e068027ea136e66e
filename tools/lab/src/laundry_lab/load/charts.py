"""Charts as SVG, in the colours of the page that holds them: light or dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from laundry_lab.load.series import Panel, Points
from laundry_lab.report import number

WIDTH, LEFT, RIGHT = 960, 64, 16
PANEL, GAP, HEAD = 110, 46, 30
MOST_TIPS = 240


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return a value's place; values beyond the scale are drawn at its end."""
        if self.log:
            low, high, value = (math.log10(max(each, 1e-9)) for each in (self.low, self.high, value))
        else:
            low, high = self.low, self.high
        share = (value - low) / ((high - low) or 1)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)

    def ticks(self, wanted: int = 4) -> list[float]:
        """Return round values within the scale."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) < 4 else (1,)
            return [
                step * 10.0**power
                for power in powers
                for step in steps
                if self.low <= step * 10.0**power <= self.high
            ]
        span = (self.high - self.low) or 1
        power = 10.0 ** math.floor(math.log10(span / wanted))
        step = next(each * power for each in (1, 2, 5, 10) if span / (each * power) <= wanted)
        first = math.ceil(self.low / step)
        return [turn * step for turn in range(first, math.floor(self.high / step) + 1)]


def timeline(panels: Sequence[Panel], seconds: float, marks: Sequence[tuple[float, str]]) -> str:
    """Draw panels below each other over one axis of time."""
    across = Scale(0, seconds, LEFT, WIDTH - RIGHT)
    height = HEAD + len(panels) * (PANEL + GAP)
    parts = []
    for turn, panel in enumerate(panels):
        top = HEAD + turn * (PANEL + GAP)
        parts.append(_panel(panel, across, top))
    bottom = height - GAP
    for tick in across.ticks(10):
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{HEAD}" y2="{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{number(tick)}</text>')
    for at, what in marks:
        x = across(at)
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{HEAD - 12}" y2="{bottom}"/>')
        parts.append(f'<text class="mark" x="{x + 4}" y="{HEAD - 18}">{escape(what)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{bottom + 32}" text-anchor="end">seconds</text>')
    return _svg(height, parts, "Everything over time")


def _panel(panel: Panel, across: Scale, top: float) -> str:
    values = [value for points in panel.lines.values() for _, value in points]
    most = max([0, *values]) or 1
    least = min((value for value in values if value > 0), default=most / 10) if panel.log else 0
    up = Scale(least * 0.9 if panel.log else 0, most * 1.05, top + PANEL, top, log=panel.log)
    parts = [_grid(up), f'<text class="title" x="{LEFT}" y="{top - 8}">{escape(panel.title)}'
             f'<tspan class="unit"> {escape(panel.unit)}</tspan></text>']  # fmt: skip
    parts.append(_legend(list(panel.lines), top - 8, after=f"{panel.title} {panel.unit}"))
    for turn, (name, points) in enumerate(panel.lines.items(), 1):
        parts.append(_line([(across(at), up(value)) for at, value in points], turn, name))
    parts.append(_tips(panel, across, top))
    return "".join(parts)


def _grid(up: Scale) -> str:
    parts = []
    for tick in up.ticks():
        y = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{number(tick)}</text>')
    return "".join(parts)


def _legend(names: Sequence[str], y: float, *, after: str) -> str:
    """Name the lines, from the title on."""
    parts, x = [], LEFT + 7.2 * len(after) + 28
    for turn, name in enumerate(names, 1):
        parts.append(f'<rect class="fill{turn}" x="{x}" y="{y - 9}" width="10" height="10" rx="2"/>')
        parts.append(f'<text x="{x + 14}" y="{y}">{escape(name)}</text>')
        x = round(x + 30 + 6.6 * len(name), 1)
    return "".join(parts)


def _line(points: Points, turn: int, name: str) -> str:
    if not points:
        return ""
    if len(points) == 1:
        (x, y), *_ = points
        return f'<circle class="fill{turn}" cx="{x}" cy="{y}" r="3"><title>{escape(name)}</title></circle>'
    path = "M" + "L".join(f"{x} {y}" for x, y in points)
    return f'<path class="line{turn}" d="{path}"><title>{escape(name)}</title></path>'


def _tips(panel: Panel, across: Scale, top: float) -> str:
    """Lay what was measured over each moment, as a tooltip."""
    found: dict[float, list[str]] = {}
    for name, points in panel.lines.items():
        for at, value in points:
            found.setdefault(at, []).append(f"{name} {number(value)} {panel.unit}")
    times = sorted(found)
    if not 1 < len(times) <= MOST_TIPS * 2:
        return ""
    half = (across(times[1]) - across(times[0])) / 2
    return "".join(
        f'<rect class="tip" x="{across(at) - half:.1f}" y="{top}" width="{2 * half:.1f}" height="{PANEL}">'
        f"<title>{escape(f'{number(at)} s: ' + ', '.join(found[at]))}</title></rect>"
        for at in times
    )


def percentiles(lines: Mapping[str, Sequence[float]]) -> str:
    """Draw latencies (s) by percentile: each decade of the axis adds a nine."""
    values = {name: sorted(each) for name, each in lines.items() if each}
    most = max((len(each) for each in values.values()), default=1)
    nines = max(1.0, math.log10(most))
    across, height = Scale(0, nines, LEFT, WIDTH - RIGHT), 260
    finite = [1000 * v for each in values.values() for v in each if 0 < v < math.inf] or [1.0]
    up = Scale(min(finite) * 0.9, max(finite) * 1.1, height, HEAD, log=True)
    parts = [
        _grid(up),
        _title("Latency by percentile", "ms"),
        _legend(list(values), HEAD - 8, after="Latency by percentile ms"),
    ]
    for share, name in (
        (0.0, "0"),
        (0.5, "p50"),
        *((1 - 10.0**-n, f"p{100 - 10 ** (2 - n):g}") for n in range(1, 6)),
    ):
        place = -math.log10(1 - share) if share < 1 else nines
        if place <= nines:
            x = across(place)
            parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{HEAD}" y2="{height}"/>')
            parts.append(f'<text x="{x}" y="{height + 16}" text-anchor="middle">{name}</text>')
    for turn, (name, each) in enumerate(values.items(), 1):
        parts.append(_line(_curve(each, across, up, nines), turn, name))
    return _svg(height + 30, parts, "Latency by percentile")


def _curve(ordered: Sequence[float], across: Scale, up: Scale, nines: float, *, steps: int = 240) -> Points:
    points: Points = []
    for step in range(steps + 1):
        place = nines * step / steps
        rank = min(len(ordered) - 1, max(0, math.ceil((1 - 10.0**-place) * len(ordered)) - 1))
        if ordered[rank] == math.inf:
            break
        points.append((across(place), up(1000 * ordered[rank])))
    return points


def histogram(edges: Sequence[float], counts: Mapping[str, Sequence[int]]) -> str:
    """Draw how many requests took how long (s), on a log axis; several as steps over each other."""
    height = 240
    across = Scale(1000 * edges[0], 1000 * edges[-1], LEFT, WIDTH - RIGHT, log=True)
    up = Scale(0, 1.05 * max(1, *(max(each, default=0) for each in counts.values())), height, HEAD)
    parts = [
        _grid(up),
        _title("How many took how long", "requests"),
        _legend(list(counts), HEAD - 8, after="How many took how long requests"),
    ]
    for tick in across.ticks():
        x = across(tick)
        parts.append(f'<text x="{x}" y="{height + 16}" text-anchor="middle">{number(tick)} ms</text>')
    for turn, (name, each) in enumerate(counts.items(), 1):
        steps = [(across(1000 * edges[0]), up(0))]
        for place, count in enumerate(each):
            steps += [(across(1000 * edges[place]), up(count)), (across(1000 * edges[place + 1]), up(count))]
        steps.append((across(1000 * edges[-1]), up(0)))
        path = "M" + "L".join(f"{x} {y}" for x, y in steps)
        parts.append(f'<path class="area{turn} line{turn}" d="{path}"><title>{escape(name)}</title></path>')
    return _svg(height + 30, parts, "How many took how long")


def _title(text: str, unit: str) -> str:
    return (
        f'<text class="title" x="{LEFT}" y="{HEAD - 8}">{escape(text)}'
        f'<tspan class="unit"> {escape(unit)}</tspan></text>'
    )


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {height}">{"".join(parts)}</svg>'
    )
