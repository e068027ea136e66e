"""``laundry load``: an open-loop load generator, and a report of each run."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from laundry.display import console
from laundry.management import target
from laundry.paths import PROJECT
from laundry_lab.bench.stage import NotMeasured, Say, Stage
from laundry_lab.commands.alone import alone
from laundry_lab.commands.load_options import What, check_options
from laundry_lab.commands.measuring import bars, finite, measured_stack
from laundry_lab.commands.results import keep, ready_for
from laundry_lab.load import patterns
from laundry_lab.load.comparing import Comparison
from laundry_lab.load.driving import Asked, drive
from laundry_lab.load.ownership import check_owned
from laundry_lab.load.page import comparison_page, run_page
from laundry_lab.load.printing import show, show_comparison
from laundry_lab.load.runs import Run
from laundry_lab.load.targets import KINDS
from laundry_lab.load.thresholds import DEFAULTS, Threshold
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

INTERRUPTED = 130
ENDING = (signal.SIGINT, signal.SIGTERM)
TOKEN = "LAUNDRY_TOKEN"  # noqa: S105 - the name of a variable

out = Console(highlight=False)

# The profiles of the requirements: 1,000 in 60 s, and 50/s for 300 s.
SPIKE_NUMBER = 1000
RATES = {What.STEADY: 50.0, What.RAMP: 100.0}
SECONDS = {What.SPIKE: 60.0, What.STEADY: 300.0, What.RAMP: 60.0}


def load(  # noqa: PLR0917 - options of a command
    context: typer.Context,
    what: Annotated[
        What,
        typer.Argument(
            help="spike: 1,000 photos in a minute, most in its middle. steady: as many in each second. ramp: "
            "ever more. replay FILE: the arrivals of a run's JSON, or of a file with a time in each line. "
            "compare A B: two runs."
        ),
    ],
    files: Annotated[list[Path] | None, typer.Argument(help="What is replayed or compared.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            callback=finite,
            help="Photos a second: steady 50, ramp 100 at its end. Batches count each.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--for", min=0.1, callback=finite, help="Seconds: spike 60, steady 300, ramp 60."),
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Photos of a spike.")] = SPIKE_NUMBER,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draw the same arrivals and photos again. Default: new ones.")
    ] = None,
    even: Annotated[bool, typer.Option("--even", help="Arrive at even intervals, not at random.")] = False,
    faster: Annotated[
        float, typer.Option(min=0.01, callback=finite, help="2 replays in half the time.")
    ] = 1.0,
    batch: Annotated[int, typer.Option(min=1, max=20, help="Photos, or events, in each request.")] = 1,
    straight: Annotated[
        bool,
        typer.Option(
            "--straight", help="Events of 1 KB straight to the broker, in a virtual host of the run's own."
        ),
    ] = False,
    photo: Annotated[
        str, typer.Option(help=f"Size: {', '.join(f'{name} {kind.name}' for name, kind in KINDS.items())}.")
    ] = "small",
    connections: Annotated[
        int, typer.Option(min=1, max=1000, help="Requests under way at most; others wait for one to end.")
    ] = 64,
    waiting: Annotated[
        int, typer.Option(min=0, help="Requests that may wait so; others are dropped and counted.")
    ] = 10_000,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help=f"Such as 'p99<=300ms'; may be repeated. Default: {', '.join(DEFAULTS)}."),
    ] = None,
    hold: Annotated[
        str | None, typer.Option(help="Stop a process of the stack for 2 s in the middle: helper.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Consumers of a --straight run.")] = 3,
    work_ms: Annotated[
        float, typer.Option(min=0, callback=finite, help="How long each of them works on an event.")
    ] = 0,
    url: Annotated[
        str | None, typer.Option(help=f"Send to a helper at this address, with the token in {TOKEN}.")
    ] = None,
    branch: Annotated[str, typer.Option(help="The branch of photos that go to --url.")] = "load",
    owned: Annotated[
        bool, typer.Option("--i-own-this-system", help="Allow an address that is not of this machine.")
    ] = False,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes, if the stack is started here: 1 or 3.")] = 1,
    output: Annotated[
        Path, typer.Option(help="Folder for load-PATTERN.json and load-PATTERN.html.")
    ] = PROJECT / "build",
) -> None:
    """Load the running stack, or one that is started for it, and write a report.

    Requests are sent when they are due, whether or not earlier ones were answered, and latency counts from
    then. Exit status 0 if every threshold is reached, 1 if not, 130 after Ctrl-C, which reports what was
    measured so far.
    """
    files = files or []
    check_options(context, what)
    if what is What.COMPARE:
        _compare(files, output)
        return
    if photo not in KINDS:
        raise LaundryError(f"--photo is one of {', '.join(KINDS)}, not {photo!r}.")
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    title, arrivals = _arrivals(
        what,
        files,
        rate=rate,
        seconds=seconds,
        number=number,
        seed=None if even else seed,
        faster=faster,
    )
    measured = [each for each in DEFAULTS if url is None or not each.startswith("lost")]
    # What was recorded comes as it was.
    even = even and what is not What.REPLAY
    title += ", evenly" * even + (f", batches of {batch}" if batch > 1 else "")
    asked = Asked(
        title + ", straight to the broker" * straight,
        what.value,
        arrivals,
        seed,
        [Threshold.parse(each) for each in threshold or measured],
        even=even,
        batch=batch,
        straight=straight,
        photo=photo,
        at_once=connections,
        waiting=waiting,
        url=url,
        authorization=f"Bearer {os.environ.get(TOKEN, '')}",
        branch=branch,
        hold=hold,
        workers=workers,
        work_s=work_ms / 1000,
    )
    if url is not None:
        check_owned(url, owned=owned)
        if not os.environ.get(TOKEN):
            raise LaundryError(
                f"Set {TOKEN} to a helper's token for branch {branch}: laundry token --role helper"
            )
    name = f"load-{what.value}{'-straight' * straight}{'-batch' * (batch > 1)}"
    with alone(f"laundry load {what.value}"):
        ready_for(output / f"{name}.json", output / f"{name}.html")
        run = _there(asked, owned=owned, nodes=nodes)
        _report(run, output, name)
    if run.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if run.passed else 1)


def _there(asked: Asked, *, owned: bool, nodes: int) -> Run:
    """Run the load where it is asked for: anywhere, or on the stack."""
    if asked.url is not None:
        with bars() as say:
            return _driven(None, asked, say)
    with measured_stack(nodes) as stack, bars() as say:
        address = stack.document["amqp_urls"][0] if asked.straight else stack.document["helper_url"]
        check_owned(address, owned=owned)
        identity = LocalIdentity(stack.paths.identity)
        return _driven(Stage(stack.paths, stack.document, identity, say, target()), asked, say)


def _arrivals(
    what: What,
    files: list[Path],
    *,
    rate: float | None,
    seconds: float | None,
    number: int,
    seed: int | None,
    faster: float,
) -> tuple[str, list[float]]:
    """Return the schedule's title, and when each photo arrives."""
    if what is What.REPLAY:
        if len(files) != 1:
            raise LaundryError("Name one file to replay: a run's JSON, or times in lines.")
        return f"replay of {files[0].name}", patterns.recorded(files[0], faster=faster)
    if files:
        raise LaundryError(f"{what.value} takes no file: {files[0]}")
    seconds = SECONDS[what] if seconds is None else seconds
    if what is What.SPIKE:
        return f"spike of {number:,} in {seconds:g} s", patterns.spike(number, seconds, seed=seed)
    rate = RATES[what] if rate is None else rate
    if what is What.STEADY:
        return f"steady {rate:g}/s for {seconds:g} s", patterns.steady(rate, seconds, seed=seed)
    return f"ramp to {rate:g}/s in {seconds:g} s", patterns.ramp(rate, seconds, seed=seed)


def _driven(stage: Stage | None, asked: Asked, say: Say) -> Run:
    async def run() -> Run:
        stop = asyncio.Event()
        with _first_interrupt(stop.set):
            return await drive(stage, asked, stop, say)

    try:
        return asyncio.run(run())
    except NotMeasured as error:
        raise LaundryError(f"Nothing was measured: {error}") from error


@contextmanager
def _first_interrupt(ask: Callable[[], None]) -> Iterator[None]:
    """End gracefully at the first Ctrl-C (or SIGTERM), at once at the second."""
    loop, before = asyncio.get_running_loop(), {each: signal.getsignal(each) for each in ENDING}

    def restore() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def interrupted() -> None:
        restore()
        console.print("Ending: what was sent is waited for, then reported. Ctrl-C again gives up.")
        ask()

    for number in ENDING:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        restore()


def _report(run: Run, output: Path, name: str) -> None:
    def write(folder: Path) -> list[Path]:
        document, page = folder / f"{name}.json", folder / f"{name}.html"
        run.write(document)
        page.write_text(run_page(run), encoding="utf-8")
        return [document, page]

    show(run, out)
    keep(output, write, out.print)


def _compare(files: list[Path], output: Path) -> None:
    if len(files) != 2:
        raise LaundryError("Name two runs to compare: laundry load compare before.json after.json")
    ready_for(output / "load-compare.html")
    one, other = files
    # Two runs of one pattern have the same name, in two folders.
    names = (one.stem, other.stem) if one.stem != other.stem else (str(one), str(other))
    comparison = Comparison(Run.read(one), Run.read(other), names)

    def write(folder: Path) -> list[Path]:
        page = folder / "load-compare.html"
        page.write_text(comparison_page(comparison), encoding="utf-8")
        return [page]

    show_comparison(comparison, out)
    keep(output, write, out.print)
