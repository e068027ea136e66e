"""The report as one page that needs no network: figures, charts, thresholds, surroundings."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Any

from laundry_lab.load import charts
from laundry_lab.load.comparing import Comparison
from laundry_lab.load.figures import SHARES, UNITS, WORDS, corrected, edges, histogram, told, uncorrected
from laundry_lab.load.runs import Run
from laundry_lab.load.series import length, panels
from laundry_lab.report import number

CORRECTED, UNCORRECTED = "from when it was due", "from when it was sent"

STYLE = (resources.files("laundry_lab.load") / "page.css").read_text(encoding="utf-8")


def run_page(run: Run) -> str:
    """Return the report of a run."""
    verdict = '<span class="pass">pass</span>' if run.passed else '<span class="fail">fail</span>'
    parts = [
        f"<h1>{escape(run.plan['title'])}</h1>",
        f'<p class="dim">{run.began_at:%Y-%m-%d %H:%M:%S} UTC · {verdict}</p>',
    ]
    if run.interrupted:
        left = f"{number(run.values['not_sent'])} requests were not due yet"
        parts.append(f'<p class="note">The run was interrupted: {left}.</p>')
    parts += [_thresholds(run), "<h2>Latency, ms</h2>", _latencies([("", run)])]
    parts.append(
        '<p class="dim">Counted from when it was due, a request that waited for a connection is as slow as '
        "it was for who asked, and one that failed or was dropped never ends. Counted from when it was "
        "sent, as many tools do, both are hidden.</p>"
    )
    due, sent = corrected(run), uncorrected(run)
    bounds = edges([*due, *sent])
    parts += [
        _wide(charts.percentiles({CORRECTED: due, UNCORRECTED: sent})),
        _wide(
            charts.histogram(
                bounds, {CORRECTED: histogram(due, bounds), UNCORRECTED: histogram(sent, bounds)}
            )
        ),
        "<h2>Over time</h2>",
        _wide(charts.timeline(panels(run), length(run), run.marks)),
        "<h2>Counted</h2>",
        _counted(run),
        _outcomes(run),
        "<h2>What was asked</h2>",
        _facts(run.plan),
        "<h2>Surroundings</h2>",
        _facts(run.surroundings),
    ]
    return _page(run.plan["title"], parts)


def comparison_page(found: Comparison) -> str:
    """Return two runs side by side."""
    one, other = found.names
    title = f"{one} and {other}"
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="dim">{escape(found.before.plan["title"])}</p>']
    if unlike := found.unlike():
        lines = "<br>".join(escape(line) for line in unlike)
        parts.append(f'<p class="note">The two are not alike.<br>{lines}</p>')
    rows = [
        (
            f"{each.name} {UNITS[each.name]}".rstrip(),
            told(each.before),
            told(each.after),
            "" if each.ratio is None else f"{each.ratio:.2f}",
        )
        for each in found.differences()
    ]
    due = {one: corrected(found.before), other: corrected(found.after)}
    bounds = edges([*due[one], *due[other]])
    parts += [
        "<h2>Latency, ms</h2>",
        _latencies([(f"{one}: ", found.before), (f"{other}: ", found.after)]),
        _wide(charts.percentiles(due)),
        _wide(charts.histogram(bounds, {name: histogram(each, bounds) for name, each in due.items()})),
        "<h2>Every figure</h2>",
        _table(("", one, other, "÷"), rows),
    ]
    for name, run in zip(found.names, (found.before, found.after), strict=True):
        parts += [
            f"<h2>{escape(name)} over time</h2>",
            _wide(charts.timeline(panels(run), length(run), run.marks)),
            _facts({**run.plan, **run.surroundings}),
        ]
    return _page(title, parts)


def _page(title: str, parts: Iterable[str]) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _thresholds(run: Run) -> str:
    rows = []
    for each in run.verdicts:
        word = "pass" if each.passed else "fail"
        rows.append(
            f"<tr><td>{escape(str(each.threshold))}</td><td>{told(each.value)}</td>"
            f'<td class="{word}">{word}</td></tr>'
        )
    table = _wide(f"<table>{''.join(rows)}</table>")
    return f"<h2>Thresholds</h2>{table}" if rows else ""


def _latencies(runs: Sequence[tuple[str, Run]]) -> str:
    rows = [
        (f"{name}{words}", *(told(run.values.get(f"{prefix}{share}")) for share in SHARES))
        for prefix, words in WORDS.items()
        for name, run in runs
        if f"{prefix}p50" in run.values
    ]
    return _table(("", *SHARES), rows)


def _counted(run: Run) -> str:
    names = [name for name in UNITS if name in run.values and not name.endswith(tuple(SHARES))]
    rows = [(name, f"{number(run.values[name])} {UNITS[name]}".rstrip()) for name in names]
    return _table(("", ""), rows)


def _outcomes(run: Run) -> str:
    counted = [(each, f"{len(run.requests.of(each)):,}") for each in run.requests.outcomes]
    rows = [(name, times) for name, times in counted if times != "0"]
    return f"<h2>Outcomes of requests</h2>{_table(('', ''), rows)}"


def _facts(facts: dict[str, Any]) -> str:
    rows = []
    for name, value in facts.items():
        if value is None:
            continue
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        rows.append(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>")
    return f'<table class="facts">{"".join(rows)}</table>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return _wide(f"<table><tr>{top}</tr>{body}</table>")


def _wide(inner: str) -> str:
    return f'<div class="wide">{inner}</div>'
