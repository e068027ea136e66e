"""``laundry learn``: corrections of unseen households improve the model, on the running stack."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry.commands.running import running_stack
from laundry.demo.client import People, Services, StoryFailed
from laundry.display import bar
from laundry.learn.photos import Shot, drawn, in_folders, of_household, split
from laundry.learn.picture import draw
from laundry.learn.story import (
    Learning,
    Report,
    check_reader,
    count_households,
    right,
    wrong_labels,
)
from laundry.paths import StackPaths
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

out = Console(highlight=False)
Source = tuple[Path | None, Path, list[str]]
HOUSEHOLDS = ["45", "125", "186", "224", "240"]
BUILD = Path("build")


def learn(
    photos: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Photos in folders named for what they show."),
    ] = None,
    data: Annotated[
        Path, typer.Option(file_okay=False, help="The training's photos; held-out households are taken.")
    ] = Path("../shared/data"),
    household: Annotated[
        list[str] | None, typer.Option(help="A household of --data; may repeat. Default: 45 125 186 224 240.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the new model in service; else it is rolled back.")
    ] = False,
) -> None:
    """Show the learning loop: read, correct, retrain, judge, promote, swap under load, read better.

    Exit status 0 only if further photos are read better than before, every photo under load was read, and
    careless labels were refused. Writes build/learn.json and build/learn.png.
    """
    with running_stack() as stack:
        source = (photos, data, household or HOUSEHOLDS)
        good = asyncio.run(_tell(stack.paths, stack.document, source, keep=keep))
    raise typer.Exit(int(not good))


def _choose(source: Source, labels: list[str]) -> tuple[list[Shot], str]:
    folder, data, household = source
    if folder is not None:
        return in_folders(folder, labels), f"the photos in {folder}"
    if (data / "clothing" / "photos.csv").is_file():
        shots = [shot for name in household for shot in of_household(data, name, labels)]
        return shots, f"households {', '.join(household)}, which no training has seen"
    return drawn(), "drawn garments, as there are no photos (--photos FOLDER for your own)"


async def _tell(paths: StackPaths, document: dict[str, Any], source: Source, *, keep: bool) -> bool:
    async with Services(document) as services:
        people = People(LocalIdentity(paths.identity))
        try:
            champion = await Learning(services, people, paths, ()).champion()
            shots, whose = _choose(source, champion["labels"])
            story = Learning(services, people, paths, [shot.household for shot in shots])
            learnt, further = split(shots)
            out.print(f"[bold]{escape(whose)}[/bold]: {len(learnt)} to correct, {len(further)} further ones")
            if await story.taught_before():
                out.print(
                    "[yellow]This stack already has examples, which train and judge too; on a fresh one "
                    "(laundry down --wipe) only these photos do.[/yellow]"
                )
            await _household(story, champion, learnt, further)
            if story.report.run["decision"]["promoted"]:
                await _better(story, further)
            await _careless(story, further, champion["labels"])
            if story.report.champion_after and not keep:
                story.report.rolled_back_to = await story.roll_back()
        except StoryFailed as error:
            raise LaundryError(f"The story broke off: {error}") from error
    return _finish(story)


async def _household(
    story: Learning, champion: dict[str, Any], learnt: list[Shot], further: list[Shot]
) -> None:
    report = story.report
    report.champion_before = champion["version"]
    report.photos_learnt, report.photos_further = len(learnt), len(further)
    with bar("reading the further photos with the present model", len(further), out) as advance:
        tasks = await story.read(further, None, advance)
    check_reader(tasks, report.champion_before)
    report.further_before = count_households(report, "before", tasks, further)
    with bar("uploading and reading the photos to correct", len(learnt), out) as advance:
        tasks = await story.read(learnt, None, advance)
    report.right_at_first = right(tasks, learnt)
    readable = [(task, shot) for task, shot in zip(tasks, learnt, strict=True) if task["reading"]]
    with bar("the owner confirms, and corrects what is wrong", len(readable), out) as advance:
        report.corrected = await story.confirm(
            [task for task, _ in readable], [shot.label for _, shot in readable], story.owner, advance
        )
    out.print(f"  {report.right_at_first} of {len(learnt)} were right; {report.corrected} corrected")
    stop = asyncio.Event()
    load = asyncio.create_task(story.keep_uploading(stop))
    try:
        with bar("retraining and judging, while photos keep coming", 1.0, out, percent=True) as advance:
            report.run, report.run_s = await story.retrain(advance)
        if report.run["decision"]["promoted"]:
            version = report.run["model_version"]
            report.replicas, report.served_by_all_s = await story.served_by_all(version)
            await asyncio.sleep(1.0)  # some load on the new model too
    finally:
        stop.set()
        await load
    for reason in report.run["decision"]["reasons"]:
        out.print(f"  · {escape(reason)}")


async def _better(story: Learning, further: list[Shot]) -> None:
    report = story.report
    report.champion_after = report.run["model_version"]
    with bar("reading the further photos with the new model", len(further), out) as advance:
        tasks = await story.read(further, None, advance)
    check_reader(tasks, report.champion_after)
    report.further_after = count_households(report, "after", tasks, further)
    out.print(
        f"  further photos right: {report.further_before} before, {report.further_after} after, "
        f"of {len(further)}"
    )
    for name, counts in report.households.items():
        out.print(f"    household {name}: {counts['before']} → {counts['after']} of {counts['photos']}")


async def _careless(story: Learning, further: list[Shot], labels: list[str]) -> None:
    with bar("somebody confirms without looking", 2 * len(further), out) as advance:
        tasks = await story.read(further, story.bad, advance)
        readable = [(task, shot) for task, shot in zip(tasks, further, strict=True) if task["reading"]]
        wrong = wrong_labels([shot for _, shot in readable], labels)
        await story.confirm([task for task, _ in readable], wrong, story.careless, advance)
    with bar("retraining with that", 1.0, out, percent=True) as advance:
        story.report.bad_run, _ = await story.retrain(advance)
    for reason in story.report.bad_run["decision"]["reasons"]:
        out.print(f"  · {escape(reason)}")


def _pace(report: Report) -> str:
    return f", {report.load_uploaded / report.load_s:.0f} a second" if report.load_s else ""


def _finish(story: Learning) -> bool:
    report = story.report
    promoted = bool(report.run["decision"]["promoted"])
    count = report.photos_further
    rows = [
        (
            "further photos read right",
            f"{report.further_before} → {report.further_after} of {count}"
            if promoted
            else "no model took over",
            promoted and report.further_after > report.further_before,
        ),
        ("retrained and judged", f"{report.run_s:.1f} s", promoted),
        (
            "all replicas serve it",
            f"{report.replicas} after {report.served_by_all_s:.1f} s",
            promoted and report.served_by_all_s <= 10,
        ),
        (
            "photos under load",
            f"{report.load_read} of {report.load_uploaded} read{_pace(report)}",
            report.load_read == report.load_uploaded > 0,
        ),
        (
            "careless labels",
            "refused" if not report.bad_run["decision"]["promoted"] else "took over",
            not report.bad_run["decision"]["promoted"],
        ),
    ]
    table = Table(title="What was learnt", title_justify="left")
    for column in ("what", "outcome", ""):
        table.add_column(column, overflow="fold")
    for what, outcome, good in rows:
        table.add_row(what, outcome, "[green]✓[/green]" if good else "[red]✗[/red]")
    if report.rolled_back_to:
        table.add_row("rolled back", report.rolled_back_to, "")
    out.print(table)
    BUILD.mkdir(exist_ok=True)
    (BUILD / "learn.json").write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    draw(report, BUILD / "learn.png")
    out.print(f"Written: {BUILD / 'learn.json'}, {BUILD / 'learn.png'}")
    return all(good for _, _, good in rows)
