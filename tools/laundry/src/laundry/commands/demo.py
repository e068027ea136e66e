"""``laundry demo``: start the stack if necessary, tell the story, show the results."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry.commands.running import RunningStack, running_stack
from laundry.demo.client import People, Services, Skipped, StoryFailed
from laundry.demo.story import Story, photos_for
from laundry.display import bar
from laundry.paths import StackPaths
from laundry.stack.environment import FIRST_OPERATOR, public_url
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

out = Console(highlight=False)


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Your own photos; else the project draws some."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=200, help="How many photos to upload.")] = 12,
    stay: Annotated[
        bool | None,
        typer.Option("--stay/--no-stay", help="Stay up to look around; by default only with a terminal."),
    ] = None,
) -> None:
    """Start everything and tell the story: photo, reading, correction, fault, match, dead letter, people.

    Exit status 0 only if all of it happened; what people do on the pages is skipped without a browser.
    """
    began = time.monotonic()
    with running_stack() as stack:
        ready_s = time.monotonic() - began
        failed = not asyncio.run(tell(stack.paths, stack.document, photos, count, ready_s))
        stays = sys.stdin.isatty() and sys.stdout.isatty() if stay is None else stay
        if stays:
            _look_around(stack)
    raise typer.Exit(int(failed))


async def tell(
    paths: StackPaths,
    document: dict[str, Any],
    folder: Path | None,
    count: int,
    ready_s: float,
    *,
    on_pages: bool = True,
) -> bool:
    """Tell the story to a stack, and show what happened; true if all of it did.

    Args:
        on_pages: with what people do in a browser of this machine.
    """
    try:
        pictures = photos_for(folder, count)
    except FileNotFoundError as error:
        raise LaundryError(str(error)) from error
    people = People(LocalIdentity(paths.identity))
    began = time.monotonic()
    async with Services(document) as services:
        story = Story(services, people, paths, lambda text: out.print(f"  {escape(text)}"))

        async def upload_and_read() -> None:
            before = await story.shares()
            with bar("uploading", len(pictures), out) as advance:
                await story.upload(pictures, advance)
            with bar("reading", len(pictures), out) as advance:
                await story.wait_for_readings(before, advance)

        chapters: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("The owner and two customers turn on their phones", story.register_phones),
            (f"A helper photographs {len(pictures)} loads; three replicas read them", upload_and_read),
            ("The owner corrects a reading", story.correct_one),
            ("A washer fails", story.break_a_washer),
            ("The branch says what it is like", story.state_a_preference),
            ("One message is made to fail", story.fail_a_message),
        ]
        if on_pages:
            title = "People are invited and work on the pages, in a real Chromium"
            chapters.append((title, partial(_on_the_pages, story, people)))
        problem, skipped = await _chapters(chapters)
    _table(story, ready_s, time.monotonic() - began, problem, skipped)
    if problem is None:
        _addresses(paths, document, story.branch)
    return problem is None


async def _on_the_pages(story: Story, people: People) -> None:
    try:
        from laundry.demo.pages import on_the_pages  # noqa: PLC0415 - Playwright may be missing
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("playwright"):
            raise
        raise Skipped("Playwright is not installed (pip install playwright)") from error
    await on_the_pages(story, people)


async def _chapters(
    chapters: list[tuple[str, Callable[[], Awaitable[None]]]],
) -> tuple[str | None, list[str]]:
    """Tell them until one fails; returns what failed, and what could not be told here."""
    skipped: list[str] = []
    for number, (title, tell) in enumerate(chapters, 1):
        out.print(f"\n[bold]{number}. {escape(title)}[/bold]")
        try:
            await tell()
        except StoryFailed as error:
            out.print(f"  [red]✗ {escape(str(error))}[/red]")
            return f"chapter {number}: {error}", skipped
        except Skipped as missing:
            out.print(f"  [yellow]This part is skipped: {escape(str(missing))}.[/yellow]", soft_wrap=True)
            skipped.append(f"chapter {number}")
            continue
        out.print("  [green]✓[/green]")
    return None, skipped


def _table(story: Story, ready_s: float, told_s: float, problem: str | None, skipped: list[str]) -> None:
    table = Table(title="What happened", title_justify="left")
    for column in ("what", "outcome", "time"):
        table.add_column(column, overflow="fold")
    table.add_row("stack ready", "servers, services, three AI consumers", f"{ready_s:.1f} s")
    for line in story.lines:
        table.add_row(escape(line.what), escape(line.outcome), escape(line.took))
    without = f", without {', '.join(skipped)}" if skipped else ""
    told = f"[red]{escape(problem)}[/red]" if problem else f"[green]all of it happened[/green]{without}"
    table.add_row("the story", told, f"{told_s:.1f} s")
    out.print()
    out.print(table)


def _addresses(paths: StackPaths, document: dict[str, Any], branch: str) -> None:
    out.print(f"\nThe pages: {public_url(document['web_url'])}")
    if "identity_url" in document:
        out.print(f"  Sign in as {FIRST_OPERATOR}; the password is in {paths.secrets_file}.", soft_wrap=True)
        invite = f"laundry people invite --role owner --branch {branch}"
        out.print(
            f"  To be the story's owner: laundry branches add {branch} --name Demo && {invite}",
            soft_wrap=True,
        )


def _look_around(stack: RunningStack) -> None:
    address = stack.document["management_urls"][0].split("@")[-1]
    out.print(f"\nRabbitMQ: {address} (login in {stack.paths.stack_file})")
    ends = "ends and stops everything" if stack.started_here else "ends; the stack stays up"
    out.print(f"Look around as long as you like. Ctrl-C {ends}.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        out.print()
