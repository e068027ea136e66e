"""A run, and the comparison of two, in a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry_lab.load.arrivals import NOT_SENT, OK
from laundry_lab.load.comparing import Comparison
from laundry_lab.load.figures import SHARES, UNITS, WORDS, told
from laundry_lab.load.runs import Run
from laundry_lab.report import number


def show(run: Run, console: Console) -> None:
    """Print a run: its latencies, its counts, and each threshold with its verdict."""
    values = run.values
    latencies = Table(title=escape(run.plan["title"]), title_justify="left")
    latencies.add_column("ms")
    for name in SHARES:
        latencies.add_column(name, justify="right")
    for prefix, words in WORDS.items():
        if f"{prefix}p50" in values:
            latencies.add_row(words, *(told(values.get(f"{prefix}{name}")) for name in SHARES))
    console.print(latencies)
    shown = [name for name in UNITS if name in values and not name.endswith(tuple(SHARES))]
    console.print(", ".join(f"{name} {number(values[name])} {UNITS[name]}".rstrip() for name in shown))
    for outcome in run.requests.outcomes:
        if outcome not in (OK, NOT_SENT) and (times := len(run.requests.of(outcome))):
            console.print(f"[red]{times:,} × {escape(outcome)}[/red]")
    for each in run.verdicts:
        sign = "[green]pass[/green]" if each.passed else "[red]fail[/red]"
        console.print(f"  {sign}  {each.threshold}: {told(each.value)}")
    console.print(
        f"seed {run.plan['seed']}; the generator used {run.processor_s:.1f} s of processor time"
        + (" [yellow](interrupted)[/yellow]" if run.interrupted else "")
    )


def show_comparison(found: Comparison, console: Console) -> None:
    """Print two runs side by side."""
    table = Table(title="Two runs", title_justify="left")
    table.add_column("figure")
    for name in (*found.names, "÷"):
        table.add_column(escape(name), justify="right")
    for each in found.differences():
        cells = (told(value) for value in (each.before, each.after))
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        table.add_row(f"{each.name} {UNITS[each.name]}".rstrip(), *cells, ratio)
    console.print(table)
    for line in found.unlike():
        console.print(f"[yellow]not alike:[/yellow] {escape(line)}")
