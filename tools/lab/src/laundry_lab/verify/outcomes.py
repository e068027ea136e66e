"""Outcomes: what the plan asks, what we aim for, and what was measured."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from laundry_lab.report import bound, grouped_table, number, print_failures, reaches, rounded, write_report

OutcomeStatus = Literal["pass", "asked", "machine", "fail"]
SIGNS: dict[OutcomeStatus, str] = {
    "pass": "[green]pass[/green]",
    "asked": "[green]pass[/green] [yellow](aim missed)[/yellow]",
    "machine": "[yellow]missed by the machine[/yellow]",
    "fail": "[red]fail[/red]",
}


@dataclass(frozen=True)
class Outcome:
    """One clause of the plan.

    Attributes:
        asked: DD-02's target; ``aimed``: the project's own target, never weaker.
        at_most: whether less is better.
        ceiling: the same work in the same run with nothing of ours: what this machine can do.
    """

    clause: str
    what: str
    value: float
    unit: str
    asked: float
    aimed: float | None = None
    at_most: bool = True
    note: str = ""
    ceiling: float | None = None

    @property
    def status(self) -> OutcomeStatus:
        """``asked`` if only the aim is missed; ``machine`` if what was asked is, by the ceiling too."""
        if not self._reaches(self.value, self.asked):
            return "fail" if self.ceiling is None or self._reaches(self.ceiling, self.asked) else "machine"
        return "pass" if self.aimed is None or self._reaches(self.value, self.aimed) else "asked"

    def _reaches(self, value: float, target: float) -> bool:
        return reaches(value, target, at_most=self.at_most)


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
        missed = self._missed("fail") + self._missed("machine")
        return not self.failures and bool(self.outcomes) and not missed

    def _missed(self, status: OutcomeStatus) -> int:
        return sum(each.status == status for each in self.outcomes)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        outcomes = [
            {**asdict(each), "value": rounded(each.value), "verdict": each.status} for each in self.outcomes
        ]
        write_report(
            path,
            self.began_at,
            self.surroundings,
            passed=self.passed,
            outcomes=outcomes,
            failures=self.failures,
            series=asdict(self.series),
        )

    def show(self, console: Console) -> None:
        """Print the outcomes as a table, and whether everything holds."""
        rows = [
            (
                each.clause,
                [
                    each.what,
                    f"{number(each.value)} {each.unit}".rstrip(),
                    bound(each.asked, at_most=each.at_most),
                    bound(each.aimed, at_most=each.at_most),
                    "" if each.ceiling is None else f"{number(each.ceiling)} {each.unit}",
                    SIGNS[each.status],
                    each.note,
                ],
            )
            for each in self.outcomes
        ]
        console.print(grouped_table("DD-02 §4.4.2.4", ["asked", "aimed", "bare clients here"], rows))
        print_failures(console, self.failures)
        if self.passed:
            console.print("[green]Everything that DD-02 asks holds.[/green]")
            return
        ours, machine, total = self._missed("fail"), self._missed("machine"), len(self.outcomes)
        console.print(f"[red]{ours} of {total} missed, {len(self.failures)} not measured.[/red]")
        if machine:
            console.print(
                f"[yellow]{machine} more cannot be had on this machine: bare clients miss them too.[/yellow]"
            )
