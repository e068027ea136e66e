"""Figures: what was measured, and its target."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from laundry_lab.report import bound, grouped_table, number, print_failures, reaches, rounded, write_report

FigureStatus = Literal["pass", "below", "info"]
SIGNS: dict[FigureStatus, str] = {"pass": "[green]pass[/green]", "below": "[red]below[/red]", "info": ""}


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        target: what it is compared with; None for information only.
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
    def status(self) -> FigureStatus:
        """Whether the target is reached; a value that is no number never reaches it."""
        if self.target is None:
            return "info"
        return "pass" if reaches(self.value, self.target, at_most=self.at_most) else "below"


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
        return [figure for figure in self.figures if figure.status == "below"]

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        figures = [
            {**asdict(figure), "verdict": figure.status, "value": rounded(figure.value)}
            for figure in self.figures
        ]
        write_report(path, self.began_at, self.surroundings, figures=figures, failures=self.failures)


def show(report: Report, console: Console) -> None:
    """Print the figures as a table."""
    rows = [
        (
            figure.group,
            [
                figure.name,
                f"{number(figure.value)} {figure.unit}".rstrip(),
                bound(figure.target, at_most=figure.at_most),
                SIGNS[figure.status],
                figure.note,
            ],
        )
        for figure in report.figures
    ]
    console.print(grouped_table("Figures", ["target"], rows))
    around = report.surroundings
    console.print(
        f"{around.get('cores')} cores, load {around.get('load_before')} before the run; "
        f"{len(report.figures)} figures, {len(report.below)} below their target."
    )
    if around.get("load_before", 0) > (around.get("cores") or 1) / 2:
        console.print(
            "[yellow]Others were using this machine: the figures are worse than it can do.[/yellow]"
        )
    print_failures(console, report.failures)
