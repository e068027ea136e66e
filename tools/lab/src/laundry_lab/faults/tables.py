"""The results as a table in the terminal, as Markdown and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry_lab.faults.findings import Findings
from laundry_lab.faults.load import Load
from laundry_lab.faults.suite import Result

COUNTS = ("accepted", "done", "dead", "pending", "lost", "doubled", "tries", "settled")


def table(results: Sequence[Result]) -> Table:
    """Return faults × invariants: a line each, in 80 columns."""
    found = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    found.add_column("fault", no_wrap=True)
    for name in COUNTS:
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("", no_wrap=True)
    for each in results:
        style = {"holds": "green", "FAILS": "red", "skip": "yellow"}[_status(each)]
        found.add_row(each.fault.name, *_cells(each), f"[{style}]{_status(each)}[/{style}]")
    return found


def _status(result: Result) -> str:
    if result.skipped is not None:
        return "skip"
    return "holds" if result.holds else "FAILS"


def _cells(result: Result) -> list[str]:
    found = result.findings
    if found is None:
        return ["-"] * len(COUNTS)
    settled = "never" if found.settled_s is None else f"{found.settled_s:.1f} s"
    numbers = (found.accepted, found.done, found.dead, found.pending, len(found.lost))
    doubled = len(found.doubled) + len(found.repeated)
    return [*(str(number) for number in numbers), str(doubled), str(found.most_attempts), settled]


def page(path: Path, results: Sequence[Result], end: Findings | None) -> None:
    """Write the whole table as Markdown: what is correct, what was seen, and what was counted."""
    lines = [
        "# Faults × invariants",
        "",
        "Counts are of the whole run up to the end of the fault; lost and doubled are new with it.",
        "",
        "| fault | correct | seen | " + " | ".join(COUNTS) + " | verdict |",
        "| --- | --- | --- |" + " ---: |" * len(COUNTS) + " --- |",
    ]
    for each in results:
        seen = each.skipped or "; ".join(one.text for one in each.observed)
        if each.alerts is not None:
            seen += f"; rang: {', '.join(each.alerts) or 'nothing'}"
        broken = f" **{'; '.join(each.problems)}**" if each.problems else ""
        cells = [each.fault.name, each.fault.correct, seen + broken, *_cells(each), _status(each)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    if end is not None:
        lines += ["", f"At the end: {'; '.join(end.problems) or 'every promise was kept'}."]
    path.write_text("\n".join(lines) + "\n")


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
                "alerts": each.alerts,
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


def show(console: Console, results: Sequence[Result], end: Findings | None) -> None:
    """Print the table, what was seen where a promise broke, and what was promised."""
    console.print(table(results))
    if any(each.alerts for each in results):
        console.print("\nWhat rang:")
    for each in results:
        if each.alerts:
            console.print(f"  {each.fault.name}: {', '.join(each.alerts)}")
    for each in results:
        if not each.holds:
            console.print(f"\n[bold]{each.fault.name}[/bold]: {each.fault.correct}")
            for text in [each.skipped] if each.skipped else each.problems:
                console.print(f"  - {escape(text)}")
    console.print()
    if end is not None:
        kept = ", ".join(f"{number:,} {name}" for name, number in end.promises.items())
        console.print(f"At the end {kept} were promised.")
        for text in end.problems:
            console.print(f"  - {escape(text)}")


def conclusion(results: Sequence[Result], end: Findings | None) -> str:
    """Say in one line whether every promise held."""
    skipped = sum(each.skipped is not None for each in results)
    failed = sum(not each.holds for each in results) - skipped
    made = len(results) - skipped
    more = f"; {skipped} could not be made" if skipped else ""
    if failed or (end and end.problems):
        at_end = ", and not all is well at the end" if end and end.problems else ""
        return f"[red]FAILED: {failed} of {made} faults broke a promise{at_end}{more}.[/red]"
    if skipped or not results:
        return f"[yellow]NOT SHOWN: every promise held in {made} faults{more}.[/yellow]"
    return f"[green]PASSED: every promise held in {made} faults.[/green]"
