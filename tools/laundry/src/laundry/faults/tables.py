"""Results for people, programs and eyes: a table, JSON, a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry.faults.invariants import Findings
from laundry.faults.load import Load
from laundry.faults.suite import Result

INK, SECOND, SPAN, ALARM = "#1b4965", "#62b6cb", "#ffb4a2", "#c1121f"
WINDOW_S = 3.0


def table(results: Sequence[Result]) -> Table:
    """Return faults × invariants."""
    found = Table(title="Faults × invariants", title_justify="left")
    found.add_column("fault")
    found.add_column("correct", style="dim", overflow="fold")
    found.add_column("seen", overflow="fold")
    for name in ("accepted", "done", "dead", "pending", "lost", "twice", "attempts", "quiet after"):
        found.add_column(name, justify="right")
    found.add_column("")
    for each in results:
        seen = "; ".join(observation.text for observation in each.observed)
        if each.skipped:
            found.add_row(
                each.fault.name,
                each.fault.correct,
                escape(each.skipped),
                *[""] * 8,
                "[yellow]not made[/yellow]",
            )
            continue
        sign = "[green]holds[/green]" if each.holds else "[red]FAILS[/red]"
        text = escape(seen if each.holds else "; ".join(each.problems))
        found.add_row(each.fault.name, each.fault.correct, text, *_cells(each.findings), sign)
    return found


def _cells(found: Findings | None) -> list[str]:
    if found is None:
        return [""] * 8
    settled = "never" if found.settled_s is None else f"{found.settled_s:.1f} s"
    numbers = (
        found.accepted,
        found.done,
        found.dead,
        found.pending,
        found.missing,
        found.doubled + found.repeated,
    )
    return [*(f"{number:,}" for number in numbers), str(found.most_attempts), settled]


def write(
    path: Path, results: Sequence[Result], load: Load, surroundings: dict[str, Any], end: Findings | None
) -> None:
    """Write everything as JSON."""
    document = {
        "surroundings": surroundings,
        "holds": all(each.holds for each in results) and not (end and end.problems),
        "results": [
            {
                "fault": each.fault.name,
                "family": each.fault.family,
                "correct": each.fault.correct,
                "seconds": round(each.seconds, 1),
                "observed": [asdict(observation) for observation in each.observed],
                "findings": asdict(each.findings) if each.findings else None,
                "problems": each.problems,
                "skipped": each.skipped,
            }
            for each in results
        ],
        "at_the_end": {**asdict(end), "problems": end.problems} if end else None,
        "uploads": {
            "accepted": len(load.ledger.accepted_ids),
            "unanswered": len(load.ledger.unanswered),
            "slowest_answer_s": round(load.ledger.slowest_s, 2),
        },
        "series": [asdict(point) for point in load.points],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def draw(path: Path, load: Load, marks: Sequence[tuple[float, float, str]]) -> None:
    """Write a PNG: what was accepted and read a second, what waited, and when which fault was."""
    figure = Figure(figsize=(14, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    points = load.points
    times = [point.at for point in points]
    above.plot(
        times, _rate(times, [point.accepted for point in points]), color=SECOND, label="accepted a second"
    )
    known = [
        (point.at, point.read, point.accepted - point.read) for point in points if point.read is not None
    ]
    read_times = [at for at, _, _ in known]
    above.plot(
        read_times, _rate(read_times, [read for _, read, _ in known]), color=INK, label="read a second"
    )
    below.plot(read_times, [waiting for _, _, waiting in known], color=ALARM, label="accepted, not yet read")
    for number, (start, end, name) in enumerate(marks):
        for axes in (above, below):
            axes.axvspan(start, max(end, start + 0.5), color=SPAN, alpha=0.4, linewidth=0)
        above.text(
            start,
            0.98 - 0.06 * (number % 4),
            name,
            fontsize=7,
            va="top",
            transform=above.get_xaxis_transform(),
        )
    above.legend(frameon=False, loc="lower left")
    below.legend(frameon=False, loc="upper left")
    below.set_xlabel("seconds")
    above.set_ylim(bottom=0)
    below.set_ylim(bottom=0)
    above.set_title("Throughput, backlog and faults", loc="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _rate(times: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Return the growth a second over the last few seconds before each moment."""
    found, first = [], 0
    for last, at in enumerate(times):
        while times[first] < at - WINDOW_S:
            first += 1
        span = at - times[first]
        found.append((counts[last] - counts[first]) / span if span > 0 else 0.0)
    return found


def show(console: Console, results: Sequence[Result], end: Findings | None) -> None:
    """Print the table and the verdict."""
    console.print(table(results))
    if end is not None:
        text = "; ".join(end.problems) or "everything that was promised was done once"
        console.print(f"At the end {end.accepted:,} accepted, {end.done:,} done: {text}")
    failed = [each for each in results if not each.holds and not each.skipped]
    skipped = [each for each in results if each.skipped]
    if failed or (end and end.problems):
        console.print(f"[red]{len(failed)} of {len(results)} faults broke a promise.[/red]")
    else:
        console.print(f"[green]Every promise held in {len(results) - len(skipped)} faults.[/green]")
    for each in skipped:
        console.print(f"[yellow]{each.fault.name} was not made:[/yellow] {escape(each.skipped or '')}")
