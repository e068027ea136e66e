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

KILLED = {kind: f"{'broker or database' if kind == 'broker' else kind} killed" for kind in KILLS}
ROWS: tuple[tuple[str, str, str], ...] = (
    ("time to the answer, p50", "answer_p50_ms", "ms"),
    ("time to the answer, p99", "answer_p99_ms", "ms"),
    ("answer → a worker has it, p50", "hop_p50_ms", "ms"),
    ("time to the effect, p50", "effect_p50_ms", "ms"),
    ("time to the effect, p99", "effect_p99_ms", "ms"),
    ("the way alone, 1 KB, p50", "way_p50_ms", "ms"),
    ("the way alone, one receiver", "way_per_s", "/s"),
    ("photos read, of what waits", "readings_per_s", "/s"),
    ("effects without work", "effects_per_s", "/s"),
    ("answers while nobody works", "answers_per_s", "/s"),
    ("processor time of a photo", "processor_ms", "ms"),
    ("of that, the database", "database_ms", "ms"),
    ("memory without the database", "memory_mb", "MB"),
    ("of that, the broker", "broker_mb", "MB"),
    ("processes without the database", "processes", ""),
    ("kept on the disk for a photo", "stored_bytes", "B"),
    ("lines for one more subscriber", "subscriber_lines", ""),
    ("of that, the sender's", "sender_lines", ""),
    *(
        row
        for kind in KILLS
        for row in (
            (f"{KILLED[kind]}: lost", f"{kind}_lost", ""),
            (f"{KILLED[kind]}: doubled", f"{kind}_doubled", ""),
            (f"{KILLED[kind]}: refused meanwhile", f"{kind}_refused", ""),
            # Only the producer answers phones.
            *([(f"{KILLED[kind]}: got no answer", f"{kind}_cut_off", "")] if kind == "producer" else []),
            (f"{KILLED[kind]}: as before after", f"{kind}_resume_s", "s"),
        )
    ),
)

NOTES = (
    "Broker or database killed: where a broker is, it alone died and the database lived on; of a table it is "
    "the database. These are two tests, which do not compare one kind with the other.",
    "Ours runs without the history (a queue, a stream, and operations, which fills it); the event store's "
    "counterpart, its table of events, is in every figure.",
    "One run of each, one after the other in this order: there are no ranges, and small differences tell "
    "nothing.",
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
    """Print figures and claims, if there are any, and what could not be measured."""
    if any(each.figures for each in results):
        _tables(results, surroundings, console)
    print_failures(console, (each.failure for each in results if each.failure))


def _tables(results: Sequence[Result], surroundings: Mapping[str, Any], console: Console) -> None:
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
    for note in NOTES:
        console.print(note)


def markdown(results: Sequence[Result]) -> str:
    """Return the tables as Markdown, with what they do not tell."""
    figures = compared({each.design.name: each.figures for each in results})
    lines = ["| | " + " | ".join(each.design.name for each in results) + " |"]
    lines.append("| --- |" + " ---: |" * len(results))
    for name, figure, unit in ROWS:
        lines.append(f"| {name} | " + " | ".join(cell(e.figures.get(figure), unit) for e in results) + " |")
    lines += [line for note in NOTES for line in ("", note)]
    lines += ["", "| approach | line | DD-02 says | measured | |", "| --- | ---: | --- | ---: | --- |"]
    lines += ["| " + " | ".join(row) + " |" for row in claim_rows(CLAIMS, figures)]
    lines += ["", "| approach | added for one more subscriber | kind | where |", "| --- | --- | --- | --- |"]
    for each in results:
        for turn, (kind, where, line) in enumerate(each.design.subscriber):
            lines.append(f"| {'' if turn else each.design.name} | `{line}` | {kind} | {where} |")
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
                "subscriber": [added._asdict() for added in each.design.subscriber],
                "figures": {k: rounded(v) for k, v in figures[each.design.name].items()},
                "failure": each.failure,
            }
            for each in results
        },
        claims=[
            dict(zip(("design", "line", "says", "measured", "verdict"), row, strict=True))
            for row in claim_rows(CLAIMS, figures)
        ],
        notes=NOTES,
    )
    page.write_text(markdown(results), encoding="utf-8")
    return [document, page]
