"""What a comparison found: every round of every peer, medians with their ranges, as table and JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from laundry_lab.report import number, print_failures, rounded, write_report


@dataclass(frozen=True)
class Kind:
    """A kind of figure: its measure and name, and how a reader is told of it.

    Attributes:
        summed: whether the rounds are added up instead of their median taken.
    """

    measure: str
    name: str
    title: str
    summed: bool = False


KINDS = (
    Kind("speed", "enqueue", "enqueue/s"),
    Kind("speed", "drain", "drain/s"),
    Kind("speed", "p50", "p50 at 200/s, ms"),
    Kind("speed", "p99", "p99, ms"),
    Kind("speed", "enqueue_processor", "processor to enqueue, µs"),
    Kind("speed", "drain_processor", "to do, µs"),
    Kind("child", "lost", "child killed: lost", summed=True),
    Kind("child", "doubled", "doubled", summed=True),
    Kind("child", "whole", "whole after, s"),
    Kind("group", "lost", "group killed: lost", summed=True),
    Kind("group", "doubled", "doubled", summed=True),
    Kind("group", "whole", "whole after, s"),
)


@dataclass(frozen=True)
class Spread:
    """Values of several rounds: their median, least and most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values. Raises ValueError if there are none."""
        if not values:
            raise ValueError("nothing was measured")
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        """Write the median, and the range where there is one."""
        if self.least == self.most:
            return number(self.median)
        return f"{number(self.median)} ({number(self.least)} to {number(self.most)})"


@dataclass(frozen=True)
class Round:
    """One measure of one peer in one round."""

    peer: str
    measure: str
    round: int
    figures: dict[str, float]


@dataclass
class Comparison:
    """All rounds, where and when they were measured, and what could not be."""

    titles: dict[str, str]
    surroundings: dict[str, Any]
    rounds: list[Round] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    interrupted: bool = False
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def values(self, peer: str, kind: Kind) -> list[float]:
        """Return the figures of this kind, one for each round in which it was measured."""
        return [
            each.figures[kind.name]
            for each in self.rounds
            if (each.peer, each.measure) == (peer, kind.measure)
        ]

    def text(self, peer: str, kind: Kind) -> str:
        """Return what a cell of the table says; nothing if it was not measured."""
        values = self.values(peer, kind)
        if not values:
            return ""
        return number(sum(values)) if kind.summed else str(Spread.of(values))

    @property
    def measured(self) -> list[Kind]:
        """The kinds of figures that there are."""
        return [kind for kind in KINDS if any(self.values(peer, kind) for peer in self.titles)]

    def write(self, path: Path) -> None:
        """Write every round, and what follows from them, as JSON."""
        spreads = {
            peer: {
                f"{kind.measure}.{kind.name}": [rounded(each) for each in (of.median, of.least, of.most)]
                for kind in self.measured
                if (values := self.values(peer, kind)) and (of := Spread.of(values))
            }
            for peer in self.titles
        }
        write_report(
            path,
            self.began_at,
            self.surroundings,
            peers=self.titles,
            rounds=[
                {
                    "peer": each.peer,
                    "measure": each.measure,
                    "round": each.round,
                    "figures": {name: rounded(value) for name, value in each.figures.items()},
                }
                for each in self.rounds
            ],
            median_least_most=spreads,
            failures=self.failures,
            interrupted=self.interrupted,
        )

    def show(self, console: Console) -> None:
        """Print the table: a column for each peer, so that it fits a terminal."""
        table = Table(title="Peers: median (least to most)", title_justify="left")
        table.add_column("", overflow="fold")
        for title in self.titles.values():
            table.add_column(title, justify="right", overflow="fold")
        for before, kind in zip((None, *self.measured), self.measured, strict=False):
            if before is not None and before.measure != kind.measure:
                table.add_section()
            table.add_row(kind.title, *self.cells(kind))
        console.print(table)
        around = self.surroundings
        console.print(
            f"{around.get('cores')} cores, load {around.get('load_before')} before the run, "
            f"{around.get('nodes')} broker node(s); lost and doubled are sums over the rounds."
        )
        print_failures(console, self.failures)

    def cells(self, kind: Kind) -> Iterable[str]:
        """Yield what the table says of each peer."""
        return (self.text(peer, kind) for peer in self.titles)
