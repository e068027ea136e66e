"""``laundry faults``: break the running system on purpose and see that it keeps its promises."""

import asyncio
import logging
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console

from laundry.display import console
from laundry.management import target
from laundry.paths import PROJECT, stack_paths
from laundry.stack import state
from laundry_lab.bench.figures import machine
from laundry_lab.bench.stage import Stage
from laundry_lab.commands.bench import bars, running_or_started, stop
from laundry_lab.faults import picture, suite, tables, tools
from laundry_lab.faults.findings import Findings
from laundry_lab.faults.ledger import Ledger
from laundry_lab.faults.load import Load
from laundry_lab.faults.suite import CATALOGUE, Result
from laundry_lab.faults.world import World
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

out = Console(highlight=False)


def faults(  # noqa: PLR0917 - options of a command
    only: Annotated[
        list[str] | None, typer.Option(help="A fault, or a family; may repeat. Default: all.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Name the faults and leave.")] = False,
    soak: Annotated[float, typer.Option(min=0, help="Minutes of faults drawn at random instead.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Draw the same faults again.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=100, help="Photos a second meanwhile.")] = 8,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes, if the stack is started here: 3, or 1.")] = 3,
    output: Annotated[Path, typer.Option(help="Folder for faults.json, faults.md and faults.png.")] = PROJECT
    / "build",
) -> None:
    """Kill, cut off and confuse the running stack under load, and compare it with a ledger outside.

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
    if nodes not in (1, 3):
        raise LaundryError("--nodes is 1 or 3: quorum queues need an odd number to agree.")
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    paths = stack_paths()
    started_here = state.supervisor(paths) is None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    results: list[Result] = []
    end: list[Findings] = []
    world: World | None = None
    try:
        wanted = suite.CATALOGUE.values() if soak else chosen
        tools.provide((tool for fault in wanted for tool in fault.tools), out.print)
        document = running_or_started(paths, nodes, started_here)
        with bars() as say:
            stage = Stage(paths, document, LocalIdentity(paths.identity), say, target())
            world = World(stage, Load(stage, Ledger(output / "faults-ledger.jsonl"), rate))
            if soak:
                out.print(_again(soak, seed))
                end.append(asyncio.run(suite.soak(world, soak, seed, _say(world), results.append)))
            else:
                asyncio.run(suite.run(world, chosen, _say(world), results.append))
    finally:
        if world is not None and results:
            surroundings = {
                **machine(),
                "nodes": len(world.stage.document["amqp_urls"]),
                "rate": rate,
                "seed": seed,
            }
            tables.write(output / "faults.json", results, world.load, surroundings, end[0] if end else None)
            at_end = end[0] if end else None
            tables.page(output / "faults.md", results, at_end)
            picture.draw(output / "faults.png", world.load, world.marks)
            tables.show(out, results, at_end)
            out.print(f"Written to {output}: faults.json, faults.md, faults.png, faults-ledger.jsonl")
            world.load.ledger.close()
        if started_here:
            stop()
    held = all(each.holds for each in results) and not any(found.problems for found in end)
    if soak:
        held = held and bool(end)
        out.print(_again(soak, seed))
    out.print(tables.verdict(results, end[0] if end else None))
    raise typer.Exit(0 if results and held else 1)


def _again(minutes: float, seed: int) -> str:
    return (
        f"Soak of {minutes:g} minutes, seed {seed}. The same again: make faults SOAK={minutes:g} SEED={seed}"
    )


def _say(world: World) -> Callable[[str], None]:
    def say(text: str) -> None:
        console.print(f"  {world.load.now:6.1f} s  {text}")

    return say
