"""The comparison as a table on the terminal, as Markdown, and as JSON."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry_lab.compare.approaches.claims import CLAIMS, Claim, compared
from laundry_lab.compare.approaches.trials import KILLS, Result
from laundry_lab.report import number, print_failures, rounded, write_report

ROWS: tuple[tuple[str, str, str], ...] = (
    ("time to the answer, p50", "answer_p50_ms", "ms"),
    ("time to the answer, p99", "answer_p99_ms", "ms"),
    ("answer → a worker has it, p50", "hop_p50_ms", "ms"),
    ("time to the effect, p50", "effect_p50_ms", "ms"),
    ("time to the effect, p99", "effect_p99_ms", "ms"),
    ("the way alone, 1 KB, p50", "way_p50_ms", "ms"),
    ("the way alone, one receiver", "way_per_s", "/s"),
    ("photos read, as fast as it goes", "readings_per_s", "/s"),
    ("effects without work", "effects_per_s", "/s"),
    ("answers meanwhile", "answers_per_s", "/s"),
    ("processor time of a photo", "processor_ms", "ms"),
    ("of that, the database", "database_ms", "ms"),
    ("memory without the database", "memory_mb", "MB"),
    ("of that, the broker", "broker_mb", "MB"),
    ("processes without the database", "processes", ""),
    ("kept on the disk for a photo", "stored_bytes", "B"),
    ("lines for one more subscriber", "subscriber_lines", ""),
    *(
        row
        for kind in KILLS
        for row in (
            (f"{kind} killed: lost", f"{kind}_lost", ""),
            (f"{kind} killed: doubled", f"{kind}_doubled", ""),
            (f"{kind} killed: refused meanwhile", f"{kind}_refused", ""),
            (f"{kind} killed: as before after", f"{kind}_resume_s", "s"),
        )
    ),
)


def cell(value: float | None, unit: str) -> str:
    """Write a figure; what a design does not have is a dash, what never came is ``never``."""
    if value is None:
        return "–"
    return "never" if value == math.inf else f"{number(value)} {unit}".rstrip()


def claim_rows(claims: Sequence[Claim], figures: Mapping[str, Mapping[str, float]]) -> list[tuple[str, ...]]:
    """Return each claim of a design that was measured: design, line, claim, measured, verdict."""
    return [
        (
            each.design,
            str(each.line),
            each.says,
            cell(figures[each.design].get(each.figure), each.unit),
            each.verdict(figures[each.design]),
        )
        for each in claims
        if each.design in figures
    ]


def show(results: Sequence[Result], surroundings: Mapping[str, Any], console: Console) -> None:
    """Print the table of figures and the table of claims."""
    figures = compared({each.design.name: each.figures for each in results})
    table = Table(title="Approaches, one workload", title_justify="left")
    table.add_column("what")
    for each in results:
        table.add_column(each.design.name, justify="right")
    for name, figure, unit in ROWS:
        table.add_row(name, *(cell(each.figures.get(figure), unit) for each in results))
    console.print(table)
    claims = Table(title="What DD-02 says", title_justify="left")
    for name in ("approach", "line", "claim", "measured", ""):
        claims.add_column(name, overflow="fold")
    for *cells, verdict in claim_rows(CLAIMS, figures):
        colour = {"right": "green", "wrong": "red"}.get(verdict, "yellow")
        claims.add_row(*map(escape, cells), f"[{colour}]{verdict}[/{colour}]")
    console.print(claims)
    console.print(
        f"{surroundings.get('cores')} cores, load {surroundings.get('load_before')} before the run."
    )
    print_failures(console, (each.failure for each in results if each.failure))


def markdown(results: Sequence[Result]) -> str:
    """Return both tables as Markdown."""
    figures = compared({each.design.name: each.figures for each in results})
    lines = ["| | " + " | ".join(each.design.name for each in results) + " |"]
    lines.append("| --- |" + " ---: |" * len(results))
    for name, figure, unit in ROWS:
        lines.append(f"| {name} | " + " | ".join(cell(e.figures.get(figure), unit) for e in results) + " |")
    lines += ["", "| approach | line | DD-02 says | measured | |", "| --- | ---: | --- | ---: | --- |"]
    lines += ["| " + " | ".join(row) + " |" for row in claim_rows(CLAIMS, figures)]
    lines += ["", "| approach | added for one more subscriber | where | the sender changes |"]
    lines.append("| --- | --- | --- | --- |")
    for each in results:
        for turn, (where, line) in enumerate(each.design.subscriber):
            changes = "yes" if each.design.sender_changes else "no"
            head = (each.design.name, changes) if not turn else ("", "")
            lines.append(f"| {head[0]} | `{line}` | {where} | {head[1]} |")
    return "\n".join(lines) + "\n"


def write(
    output: Path, results: Sequence[Result], surroundings: Mapping[str, Any], began_at: datetime
) -> list[Path]:
    """Write compare-approaches.json and .md; returns their paths."""
    figures = compared({each.design.name: each.figures for each in results})
    document, page = output / "compare-approaches.json", output / "compare-approaches.md"
    write_report(
        document,
        began_at.astimezone(UTC),
        dict(surroundings),
        designs={
            each.design.name: {
                "title": each.design.title,
                "systems": each.design.systems,
                "subscriber": [{"where": where, "line": line} for where, line in each.design.subscriber],
                "figures": {k: rounded(v) for k, v in figures[each.design.name].items()},
                "failure": each.failure,
            }
            for each in results
        },
        claims=[
            dict(zip(("design", "line", "says", "measured", "verdict"), row, strict=True))
            for row in claim_rows(CLAIMS, figures)
        ],
    )
    page.write_text(markdown(results), encoding="utf-8")
    return [document, page]
