"""What was measured, beside what was aimed for."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Verdict = Literal["pass", "below", "info"]


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        target: what it is held against; none for a figure that is only told.
        at_most: whether less is better.
    """

    group: str
    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether the target is reached; a value that is no number never reaches it."""
        if self.target is None:
            return "info"
        reached = self.value <= self.target if self.at_most else self.value >= self.target
        return "pass" if reached and math.isfinite(self.value) else "below"


@dataclass
class Report:
    """All figures of one run, with where and when they were measured."""

    figures: list[Figure] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    surroundings: dict[str, Any] = field(default_factory=dict)

    @property
    def below(self) -> list[Figure]:
        """Figures that miss their target."""
        return [figure for figure in self.figures if figure.verdict == "below"]

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        document = {
            "began_at": self.began_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "surroundings": self.surroundings,
            "figures": [
                {**asdict(figure), "verdict": figure.verdict, "value": _finite(figure.value)}
                for figure in self.figures
            ],
            "failures": self.failures,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile, e.g. ``share`` 0.95; of few values p99 is the largest.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def machine() -> dict[str, Any]:
    """Describe the machine, since figures mean nothing without it."""
    return {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


SIGNS: dict[Verdict, str] = {"pass": "[green]pass[/green]", "below": "[red]below[/red]", "info": ""}


def show(report: Report, console: Console) -> None:
    """Print the figures as a table."""
    table = Table(title="Figures", title_justify="left")
    table.add_column("what", overflow="fold")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    table.add_column("note", overflow="fold", style="dim")
    group = None
    for figure in report.figures:
        if figure.group != group:
            if group is not None:
                table.add_section()
            group = figure.group
            table.add_row(f"[bold]{escape(group)}[/bold]")
        target = "" if figure.target is None else f"{'≤' if figure.at_most else '≥'} {_text(figure.target)}"
        measured = f"{_text(figure.value)} {figure.unit}"
        table.add_row(
            f"  {escape(figure.name)}", measured, target, SIGNS[figure.verdict], escape(figure.note)
        )
    console.print(table)
    around = report.surroundings
    console.print(
        f"{around.get('cores')} cores, load {around.get('load_before')} before the run; "
        f"{len(report.figures)} figures, {len(report.below)} below their target."
    )
    if around.get("load_before", 0) > (around.get("cores") or 1) / 2:
        console.print(
            "[yellow]Others were using this machine: the figures are worse than it can do.[/yellow]"
        )
    for failure in report.failures:
        console.print(f"[red]not measured:[/red] {escape(failure)}")


def _text(value: float) -> str:
    if not math.isfinite(value):
        return "none"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
