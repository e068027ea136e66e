"""`python -m mlops.training`: from a folder of photos to a model file, its manifest and its card."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from laundry_reading.manifest import Manifest
from mlops.refit import held_out
from mlops.training import dataset, weights
from mlops.training.evaluate import Evaluation

INPUT_SIZE = 108
"""Edge of what is read, pixels; the network sees the ``VIEW_SIZE`` in its middle."""

VIEW_SIZE = 96
SOURCE_SIZE = 160
TEACHER_NAME = (
    "MobileNetV2 (ImageNet, Apache-2.0, google-coral/test_data at 104342d) fine-tuned on clothing/train"
)

console = Console()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mlops.training", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with clothing/ and teacher/"
    )
    parser.add_argument("--out", type=Path, default=Path("models"), help="where model, manifest and card go")
    parser.add_argument("--work", type=Path, default=Path("var/training"), help="caches and checkpoints")
    parser.add_argument(
        "--run", default="run", help="name of the run; the same name goes on where it stopped"
    )
    parser.add_argument(
        "--version", default=None, help="version of the model (default: today's date and time)"
    )
    parser.add_argument("--epochs", type=int, default=80, help="stop after this many passes")
    parser.add_argument("--minutes", type=float, default=600, help="or after this long, whichever is first")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--views", type=int, default=10, help="views of each photo shown to the teacher")
    parser.add_argument("--remark", default="", help="a sentence for the model card on how this run went")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--export-only", action="store_true", help="export the newest checkpoint of the run as it is"
    )
    return parser.parse_args()


def main() -> int:
    """Train, export, judge the exported file, and write manifest and card. Returns the exit code."""
    arguments = _arguments()
    try:
        photos = dataset.read_photos(arguments.data)
        teacher = arguments.data / "teacher" / "laundry_ft160.onnx"
        if not teacher.is_file():
            raise dataset.DataMissingError(f"No teacher: {teacher} does not exist (see --data).")  # noqa: TRY301
    except dataset.DataMissingError as error:
        console.print(f"[red]{error}[/red]")
        return 2
    try:
        import onnx  # noqa: F401, PLC0415
        import torch  # noqa: PLC0415
    except ImportError as error:
        console.print(
            f"[red]Training needs what services/mlops/training-requirements.txt lists ({error}).[/red] "
            "`make model` puts it into a venv of its own."
        )
        return 2
    torch.set_num_threads(arguments.threads)
    return _run(arguments, photos, teacher)


def _run(arguments: argparse.Namespace, photos: list[dataset.Photo], teacher: Path) -> int:
    import torch  # noqa: PLC0415

    from mlops.training.fit import Plan, Pupil, fit  # noqa: PLC0415
    from mlops.training.network import LaundryNet  # noqa: PLC0415
    from mlops.training.publish import Judges, compute_logits, publish  # noqa: PLC0415
    from mlops.training.refine import state_of  # noqa: PLC0415
    from mlops.training.teacher import take_lessons  # noqa: PLC0415

    holdout = dataset.read_holdout()
    training = [photo for photo in photos if photo.household not in holdout]
    held = [photo for photo in photos if photo.household in holdout and photo.target != dataset.UNKNOWN]
    other = [photo for photo in photos if photo.household in holdout and photo.target == dataset.UNKNOWN]
    console.print(
        f"{len(training):,} photos to learn from; "
        f"{len(held):,} of {len(holdout)} held-out households to judge by."
    )
    targets = np.array([photo.target for photo in training], dtype=np.int64)
    with console.status("Decoding photos…"):
        pixels = dataset.load_pixels(arguments.data, training, SOURCE_SIZE, arguments.work)
        held_pixels = dataset.load_pixels(arguments.data, held, INPUT_SIZE, arguments.work)
        other_pixels = dataset.load_pixels(arguments.data, other, INPUT_SIZE, arguments.work)
        served_pixels = dataset.load_pixels(arguments.data, training, INPUT_SIZE, arguments.work)
    held_targets = np.array([photo.target for photo in held], dtype=np.int64)
    checkpoint = arguments.work / f"{arguments.run}.pt"

    def judge(net: LaundryNet) -> float:
        return float((compute_logits(net, held_pixels, VIEW_SIZE).argmax(axis=1) == held_targets).mean())

    def report(news: dict[str, Any]) -> None:
        judged = "" if news["accuracy"] is None else f"  held-out top-1 {news['accuracy']:.1%}"
        console.print(
            f"{datetime.now(UTC):%H:%M:%S} epoch {news['epoch']:3d}  {news['used']:6.1%} of the plan  "
            f"{news['size']} px  loss {news['loss']:.3f}{judged}"
        )

    if arguments.export_only:
        saved = torch.load(checkpoint, weights_only=True)
        net = LaundryNet(len(dataset.LABELS))
        net.load_state_dict(saved["average"])
    else:
        with _progress() as progress:
            task = progress.add_task("Asking the teacher", total=len(training))
            lessons = take_lessons(
                teacher,
                pixels,
                arguments.views,
                arguments.work,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
            progress.update(task, completed=len(training))
        plan = Plan(epochs=arguments.epochs, minutes=arguments.minutes, rate=arguments.rate)
        pupil = Pupil(pixels, targets, lessons)
        net = fit(pupil, len(dataset.LABELS), plan, checkpoint=checkpoint, judge=judge, report=report)
        saved = torch.load(checkpoint, weights_only=True)
    training_facts = {
        "training_photos": len(training),
        "training_known": int((targets != dataset.UNKNOWN).sum()),
        "teacher": TEACHER_NAME,
        "teacher_sha256": hashlib.sha256(teacher.read_bytes()).hexdigest(),
        "holdout_sha256": dataset.holdout_sha256(),
        "epochs": saved["epoch"],
        "minutes": round(saved["spent"] / 60, 1),
        "threads": arguments.threads,
        "remark": arguments.remark,
        "plan": saved["plan"],
    }
    version = arguments.version or f"{datetime.now(UTC):%Y%m%d-%H%M}"
    judges = Judges(
        held_pixels,
        held_targets,
        [photo.household for photo in held],
        other_pixels,
        training_pixels=served_pixels,
        training_known=targets != dataset.UNKNOWN,
    )
    manifest, result = publish(
        net, judges, training_facts, version=version, size=INPUT_SIZE, view=VIEW_SIZE, out=arguments.out
    )
    # A refit later is judged by some of these photos and rehearses others, so that it does not forget them.
    held_out.write(arguments.out, *held_out.from_data(arguments.data))
    # A full run later goes on from these.
    weights.write(arguments.out, state_of(net))
    _show(manifest, result)
    return 0


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _show(manifest: Manifest, result: Evaluation) -> None:
    table = Table(
        title=f"laundry-{manifest.version} on {result.photos} photos of {result.households} new households"
    )
    for column in ("class", "photos", "recall", "precision"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for score in result.classes:
        table.add_row(score.label, str(score.photos), f"{score.recall:.1%}", f"{score.precision:.1%}")
    console.print(table)
    console.print(
        f"top-1 {result.top1:.1%} ({result.top1_low:.1%} to {result.top1_high:.1%}), "
        f"top-2 {result.top2:.1%}; "
        f"accepted {result.accepted:.1%} at {result.accepted_accuracy:.1%} (threshold {manifest.threshold}); "
        f"{result.other_reviewed:.0%} of {result.other_photos} other things go to a person; "
        f"{manifest.metrics['milliseconds_per_photo']} ms, {manifest.file_bytes / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
