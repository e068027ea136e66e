"""What was found of each layout, as a table and for JSON; of an interrupted run what there is."""

from collections.abc import Mapping

from rich.table import Table

from laundry_lab.compare.approaches.report import cell
from laundry_lab.compare.queues.trial import BACKLOG, LAYOUTS, QUIET_S, STOPPED
from laundry_lab.report import number, rounded

Found = Mapping[str, Mapping[str, float]]
LEFT = f"not handled when nothing had been for {number(QUIET_S)} s"

ROWS = (
    (f"a backlog of {BACKLOG}", "backlog_per_s", "/s"),
    ("deliveries of each message", "backlog_deliveries", ""),
    (LEFT, "backlog_missing", ""),
    ("60/s: p50", "steady_p50_ms", "ms"),
    ("60/s: p99", "steady_p99_ms", "ms"),
    ("deliveries of each message", "steady_deliveries", ""),
    (LEFT, "steady_missing", ""),
    (f"60/s while nobody takes {STOPPED}: p99 of the others", "away_p99_ms", "ms"),
    ("deliveries of each message", "away_deliveries", ""),
    (f"{LEFT}, of the others", "away_missing", ""),
)


def table(found: Found) -> Table:
    """Return a column for each layout that was measured."""
    measured = [layout for layout in LAYOUTS if layout.name in found]
    made = Table(title="Four kinds of messages", title_justify="left")
    made.add_column("what", overflow="fold")
    for layout in measured:
        made.add_column(layout.title, justify="right")
    for name, figure, unit in ROWS:
        made.add_row(name, *(cell(found[layout.name].get(figure), unit) for layout in measured))
    return made


def layouts(found: Found) -> dict[str, dict[str, float | None]]:
    """Return the figures for JSON."""
    return {
        name: {figure: rounded(value) for figure, value in figures.items()} for name, figures in found.items()
    }
