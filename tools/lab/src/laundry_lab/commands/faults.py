"""``laundry faults``: inject faults into the running system and check that it keeps its promises."""

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from laundry.display import console
from laundry.management import target
from laundry.paths import PROJECT
from laundry_lab.bench.stage import Stage
from laundry_lab.commands.alone import alone
from laundry_lab.commands.measuring import bars, finite, measured_stack
from laundry_lab.commands.results import keep, ready_for
from laundry_lab.faults import picture, suite, tables, tools
from laundry_lab.faults.findings import Findings
from laundry_lab.faults.ledger import Ledger
from laundry_lab.faults.load import USUAL_RATE, Load
from laundry_lab.faults.suite import CATALOGUE, Result
from laundry_lab.faults.world import World
from laundry_lab.prometheus import Prometheus, scraping
from laundry_lab.report import machine
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

out = Console(highlight=False)
WRITTEN, LEDGER = ("faults.json", "faults.md", "faults.png"), "faults-ledger.jsonl"


def faults(  # noqa: PLR0917 - options of a command
    only: Annotated[
        list[str] | None, typer.Option(help="A fault, or a family; may be repeated. Default: all.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Name the faults and leave.")] = False,
    soak: Annotated[
        float, typer.Option(min=0, callback=finite, help="Minutes of faults drawn at random instead.")
    ] = 0,
    seed: Annotated[int | None, typer.Option(help="Draw the same faults of a --soak again.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=100, help="Photos uploaded a second.")] = USUAL_RATE,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes, if the stack is started here: 3, or 1.")] = 3,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Say which alerts each fault rings, by a Prometheus of its own.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for faults.json, faults.md and faults.png.")] = PROJECT
    / "build",
) -> None:
    """Inject faults into the running stack under load, and compare it with an external ledger.

    Without a running stack three broker nodes are started for it. Exit status 0 if every promise held.
    """
    if show_list:
        for fault in CATALOGUE.values():
            out.print(f"{fault.family:10} {fault.name:18} {fault.correct}")
        return
    chosen = [fault for fault in CATALOGUE.values() if not only or fault.name in only or fault.family in only]
    unknown = sorted(
        set(only or []) - {f.name for f in CATALOGUE.values()} - {f.family for f in CATALOGUE.values()}
    )
    if unknown:
        raise LaundryError(f"No fault {', '.join(unknown)}. See: laundry faults --list")
    _check_options(soak, only, seed, alerts)
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    results: list[Result] = []
    end: Findings | None = None
    world: World | None = None
    needed = CATALOGUE.values() if soak else chosen
    with alone("laundry faults"):
        ready_for(*(output / name for name in (*WRITTEN, LEDGER)))
        tools.provide((tool for fault in needed for tool in fault.tools), out.print)
        with measured_stack(nodes) as stack, _listening(stack.document, output, alerts) as rings:
            try:
                with bars() as say:
                    identity = LocalIdentity(stack.paths.identity)
                    stage = Stage(stack.paths, stack.document, identity, say, target())
                    if stage.tls is None and not only:
                        chosen = [fault for fault in chosen if not fault.encrypted]
                    world = World(stage, Load(stage, Ledger(output / LEDGER), rate))
                    if soak:
                        out.print(_again(soak, seed))
                        end = asyncio.run(suite.soak(world, soak, seed, _say(world), results.append))
                    else:
                        asyncio.run(suite.run(world, chosen, _say(world), results.append, rings))
            finally:
                if world is not None and results:
                    _report(output, results, world, {"rate": rate, "seed": seed}, end)
    held = bool(results) and all(each.holds for each in results)
    if soak:
        held = held and end is not None and not end.problems
        out.print(_again(soak, seed))
    out.print(tables.conclusion(results, end))
    raise typer.Exit(0 if held else 1)


@contextmanager
def _listening(document: dict[str, Any], output: Path, alerts: bool) -> Iterator[Prometheus | None]:
    """Give a Prometheus whose alerts ring at once, since a fault is over before they would have waited."""
    if not alerts:
        yield None
        return
    folder = output / "faults-prometheus"
    shutil.rmtree(folder, ignore_errors=True)
    with scraping(document, folder, at_once=True) as rings:
        yield rings


def _check_options(soak: float, only: list[str] | None, seed: int | None, alerts: bool) -> None:
    if soak and only:
        raise typer.BadParameter("--only does not apply to a --soak, which draws from all faults.")
    if soak and alerts:
        raise typer.BadParameter("--alerts does not apply to a --soak: it says what each fault rings.")
    if seed is not None and not soak:
        raise typer.BadParameter("--seed applies only to a --soak: nothing else is drawn.")


def _report(
    output: Path, results: list[Result], world: World, options: dict[str, float], end: Findings | None
) -> None:
    surroundings = {**machine(), "nodes": len(world.stage.document["amqp_urls"]), **options}

    def write(folder: Path) -> list[Path]:
        document, page, drawn = (folder / name for name in WRITTEN)
        tables.write(document, results, world.load, surroundings, end)
        tables.page(page, results, end)
        picture.draw(drawn, world.load, world.marks)
        return [document, page, drawn, output / LEDGER]

    # Nothing is noted after this; what had no room was no loss to the results.
    with suppress(OSError):
        world.load.ledger.close()
    tables.show(out, results, end)
    keep(output, write, out.print)


def _again(minutes: float, seed: int) -> str:
    return (
        f"Soak of {minutes:g} minutes, seed {seed}. The same again: make faults SOAK={minutes:g} SEED={seed}"
    )


def _say(world: World) -> Callable[[str], None]:
    def say(text: str) -> None:
        console.print(f"  {world.load.now:6.1f} s  {text}")

    return say
