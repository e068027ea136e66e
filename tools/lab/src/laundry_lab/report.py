"""What reports of measured values share: comparison with a target, numbers as text, tables, JSON files."""

import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def reaches(value: float, target: float, *, at_most: bool) -> bool:
    """Whether a value reaches its target; one that is no finite number never does."""
    return math.isfinite(value) and (value <= target if at_most else value >= target)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile, e.g. ``share`` 0.95; with few values p99 is the maximum.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def number(value: float) -> str:
    """Write a value with as many digits as a reader needs."""
    if not math.isfinite(value):
        return "none"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def bound(target: float | None, *, at_most: bool) -> str:
    """Write a target with its direction; nothing where there is none."""
    return "" if target is None else f"{'≤' if at_most else '≥'} {number(target)}"


def grouped_table(title: str, targets: Sequence[str], rows: Iterable[tuple[str, list[str]]]) -> Table:
    """Return a table of measured values under the names of their groups.

    Args:
        targets: the columns between the measured value and its status.
        rows: each value's group, and its cells: name, measured, targets, status, note.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("what", overflow="fold")
    for name in ("measured", *targets):
        table.add_column(name, justify="right")
    table.add_column("")
    table.add_column("note", overflow="fold", style="dim")
    shown: str | None = None
    for group, (name, *cells, note) in rows:
        if group != shown:
            if shown is not None:
                table.add_section()
            shown = group
            table.add_row(f"[bold]{escape(group)}[/bold]")
        table.add_row(f"  {escape(name)}", *cells, escape(note))
    return table


def print_failures(console: Console, failures: Iterable[str]) -> None:
    """Name what could not be measured."""
    for failure in failures:
        console.print(f"[red]not measured:[/red] {escape(failure)}")


def write_report(
    path: Path, began_at: datetime, surroundings: dict[str, Any], *, indent: int | None = 2, **content: Any
) -> None:
    """Write a report as JSON: when and where it was measured, then ``content``."""
    document = {
        "began_at": began_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "surroundings": surroundings,
        **content,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=False) + "\n")


def rounded(value: float) -> float | None:
    """Return a value for JSON, which has no word for infinity."""
    return round(value, 4) if math.isfinite(value) else None


def machine() -> dict[str, Any]:
    """Describe the machine, since figures mean nothing without it."""
    return {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
