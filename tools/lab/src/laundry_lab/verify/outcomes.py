"""What the plan asks, what we aim for, and what was found."""

import json
import math
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Verdict = Literal["pass", "asked", "fail"]
SIGNS: dict[Verdict, str] = {
    "pass": "[green]pass[/green]",
    "asked": "[green]pass[/green] [yellow](aim missed)[/yellow]",
    "fail": "[red]fail[/red]",
}


@dataclass(frozen=True)
class Outcome:
    """One clause of the plan.

    Attributes:
        asked: what DD-02 wants; ``aimed``: what this project wants of itself, never less.
        at_most: whether less is better.
    """

    clause: str
    what: str
    value: float
    unit: str
    asked: float
    aimed: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """``fail`` if what was asked is missed; ``asked`` if only the aim is."""
        if not self._reaches(self.asked):
            return "fail"
        return "pass" if self.aimed is None or self._reaches(self.aimed) else "asked"

    def _reaches(self, target: float) -> bool:
        if not math.isfinite(self.value):
            return False
        return self.value <= target if self.at_most else self.value >= target


@dataclass
class Series:
    """What the picture shows: delays in seconds, and what happened when (seconds since the beginning)."""

    publish_s: list[float] = field(default_factory=list)
    push_s: list[float] = field(default_factory=list)
    backlog: list[tuple[float, int]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    uploads: list[tuple[float, float]] = field(default_factory=list)
    upload_marks: list[tuple[float, str]] = field(default_factory=list)


@dataclass
class Verification:
    """All outcomes of one run."""

    surroundings: dict[str, Any]
    outcomes: list[Outcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    series: Series = field(default_factory=Series)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def passed(self) -> bool:
        """Whether everything was measured and reaches what was asked."""
        return not self.failures and bool(self.outcomes) and all(o.verdict != "fail" for o in self.outcomes)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        document = {
            "began_at": self.began_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "passed": self.passed,
            "surroundings": self.surroundings,
            "outcomes": [
                {
                    **asdict(each),
                    "value": round(each.value, 4) if math.isfinite(each.value) else None,
                    "verdict": each.verdict,
                }
                for each in self.outcomes
            ],
            "failures": self.failures,
            "series": asdict(self.series),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def show(self, console: Console) -> None:
        """Print the outcomes as a table with a verdict."""
        table = Table(title="DD-02 §4.4.2.4", title_justify="left")
        table.add_column("what", overflow="fold")
        for name in ("measured", "asked", "aimed"):
            table.add_column(name, justify="right")
        table.add_column("")
        table.add_column("note", overflow="fold", style="dim")
        clause = None
        for each in self.outcomes:
            if each.clause != clause:
                if clause is not None:
                    table.add_section()
                clause = each.clause
                table.add_row(f"[bold]{escape(clause)}[/bold]")
            sign = "≤" if each.at_most else "≥"
            table.add_row(
                f"  {escape(each.what)}",
                f"{_text(each.value)} {each.unit}".rstrip(),
                f"{sign} {_text(each.asked)}",
                "" if each.aimed is None else f"{sign} {_text(each.aimed)}",
                SIGNS[each.verdict],
                escape(each.note),
            )
        console.print(table)
        for failure in self.failures:
            console.print(f"[red]not measured:[/red] {escape(failure)}")
        missed = sum(each.verdict == "fail" for each in self.outcomes)
        console.print(
            "[green]Everything that DD-02 asks holds.[/green]"
            if self.passed
            else f"[red]{missed} of {len(self.outcomes)} missed, {len(self.failures)} not measured.[/red]"
        )


def _text(value: float) -> str:
    if not math.isfinite(value):
        return "none"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
