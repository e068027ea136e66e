"""`python -m laundry_training`: from a folder of photos to a model file, its manifest and its card."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from laundry_learning import dataset, weights
from laundry_learning.holdout import photos_from, write_beside
from laundry_reading.manifest import Manifest
from laundry_training.evaluate import Evaluation

if TYPE_CHECKING:
    import onnx

INPUT_SIZE = 108
"""Edge of what is read, pixels; the network sees the ``VIEW_SIZE`` in its middle."""

VIEW_SIZE = 96
SOURCE_SIZE = 160
TEACHER_NAME = (
    "MobileNetV2 (ImageNet, Apache-2.0, google-coral/test_data at 104342d) fine-tuned on clothing/train"
)

console = Console()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m laundry_training", description=__doc__)
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
    parser.add_argument("--epochs", type=int, default=80, help="stop the first round after this many passes")
    parser.add_argument(
        "--again", type=int, default=120, help="passes of the second round, from the network of the first"
    )
    parser.add_argument(
        "--minutes", type=float, default=600, help="stop a round after this long, whichever is first"
    )
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--views", type=int, default=24, help="views of each photo shown to the teacher")
    parser.add_argument("--remark", default="", help="a sentence for the model card on how this run went")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--export-only", action="store_true", help="export the newest checkpoint of the run as it is"
    )
    parser.add_argument(
        "--finish-only",
        action="store_true",
        help="only quantise, calibrate and judge again what the run has trained",
    )
    parser.add_argument(
        "--from-weights",
        type=Path,
        default=None,
        metavar="FILE",
        help="train no network: finish that of a weights file, which lies beside its manifest, in minutes "
        "(for example models/laundry-0.7.0.weights.npz with --version 0.7.0 makes that file again)",
    )
    return parser.parse_args()


def main() -> int:
    """Train, export, judge the exported file, and write manifest and card. Returns the exit code."""
    arguments = _arguments()
    try:
        photos = dataset.read_photos(arguments.data)
        teacher = arguments.data / "teacher" / "laundry_ft160.onnx"
        if not (teacher.is_file() or arguments.from_weights):
            raise dataset.DataMissingError(f"No teacher: {teacher} does not exist (see --data).")  # noqa: TRY301
    except dataset.DataMissingError as error:
        console.print(f"[red]{error}[/red]")
        return 2
    try:
        import onnx  # noqa: F401, PLC0415
        import torch  # noqa: PLC0415
    except ImportError as error:
        console.print(
            f"[red]Training needs what tools/training/training-requirements.txt lists ({error}).[/red] "
            "`make model` puts it into a venv of its own."
        )
        return 2
    torch.set_num_threads(arguments.threads)
    return _run(arguments, Pictures.load(arguments, photos), teacher)


@dataclass(frozen=True)
class Pictures:
    """The photos as pixels [n, s, s, 3]: ``large`` to learn from, others as served; classes beside them."""

    targets: npt.NDArray[np.int64]
    labels: list[str]
    large: npt.NDArray[np.uint8]
    served: npt.NDArray[np.uint8]
    held: list[dataset.Photo]
    held_served: npt.NDArray[np.uint8]
    held_large: npt.NDArray[np.uint8]
    other_served: npt.NDArray[np.uint8]

    @property
    def held_targets(self) -> npt.NDArray[np.int64]:
        """Class numbers of the held-out photos."""
        return np.array([photo.target for photo in self.held], dtype=np.int64)

    @classmethod
    def load(cls, arguments: argparse.Namespace, photos: list[dataset.Photo]) -> Pictures:
        """Decode the photos, or take them from the cache."""
        holdout = dataset.holdout_households()
        training = [photo for photo in photos if photo.household not in holdout]
        held = [photo for photo in photos if photo.household in holdout and photo.target != dataset.UNKNOWN]
        other = [photo for photo in photos if photo.household in holdout and photo.target == dataset.UNKNOWN]
        console.print(
            f"{len(training):,} photos to learn from; "
            f"{len(held):,} of {len(holdout)} held-out households to judge by."
        )

        def load(chosen: list[dataset.Photo], size: int) -> npt.NDArray[np.uint8]:
            return dataset.load_pixels(arguments.data, chosen, size, arguments.work)

        with console.status("Decoding photos…"):
            return cls(
                np.array([photo.target for photo in training], dtype=np.int64),
                [photo.label for photo in training],
                load(training, SOURCE_SIZE),
                load(training, INPUT_SIZE),
                held,
                load(held, INPUT_SIZE),
                load(held, SOURCE_SIZE),
                load(other, INPUT_SIZE),
            )


def _run(arguments: argparse.Namespace, pictures: Pictures, teacher: Path) -> int:
    from laundry_training.finish import FinishError, Judges, finish  # noqa: PLC0415
    from laundry_training.out_of_distribution import Photos  # noqa: PLC0415
    from laundry_training.publish import NothingTrained, take_up, take_weights  # noqa: PLC0415

    try:
        if arguments.from_weights:
            plain, facts = take_weights(
                arguments.from_weights, size=INPUT_SIZE, work=arguments.work, run=arguments.run
            )
        elif arguments.finish_only:
            plain, facts = take_up(arguments.work, arguments.run)
        else:
            plain, facts = _train(arguments, pictures, teacher)
        facts["remark"] = arguments.remark or facts.get("remark", "")
        judges = Judges(
            pictures.held_served,
            pictures.held_targets,
            [photo.household for photo in pictures.held],
            pictures.other_served,
            large=pictures.held_large,
            training=Photos(pictures.served, pictures.targets, pictures.labels, pictures.large),
        )
        version = arguments.version or f"{datetime.now(UTC):%Y%m%d-%H%M}"
        if arguments.from_weights:
            trained = weights.unpack(arguments.from_weights.read_bytes())
        else:
            trained = weights.recover(plain.SerializeToString())
        with console.status("Quantising, calibrating, judging…"):
            manifest, result = finish(plain, judges, facts, version=version, out=arguments.out)
    except (NothingTrained, FinishError, weights.BrokenWeights) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    # A refit later is judged by some of these photos and rehearses others, so that it does not forget them.
    write_beside(arguments.out, *photos_from(arguments.data))
    # A full run later goes on from these.
    weights.write(arguments.out, trained)
    _show(manifest, result)
    return 0


def _train(
    arguments: argparse.Namespace, pictures: Pictures, teacher: Path
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    import torch  # noqa: PLC0415

    from laundry_training.fit import EpochReport, Plan, Pupil, fit  # noqa: PLC0415
    from laundry_training.network import LaundryNet  # noqa: PLC0415
    from laundry_training.publish import NothingTrained, bring_out, compute_logits  # noqa: PLC0415
    from laundry_training.teacher import ask_teacher  # noqa: PLC0415

    rounds = [arguments.work / f"{arguments.run}{suffix}.pt" for suffix in ("", "-again")]
    held_targets, count = pictures.held_targets, len(pictures.targets)

    def judge(net: LaundryNet) -> float:
        guesses = compute_logits(net, pictures.held_served, VIEW_SIZE).argmax(axis=1)
        return float((guesses == held_targets).mean())

    def report(news: EpochReport) -> None:
        judged = "" if news.accuracy is None else f"  held-out top-1 {news.accuracy:.1%}"
        console.print(
            f"{datetime.now(UTC):%H:%M:%S} epoch {news.epoch:3d}  {news.used:6.1%} of the plan  "
            f"{news.size} px  loss {news.loss:.3f}{judged}"
        )

    net: LaundryNet | None = None
    if not arguments.export_only:
        with _progress() as progress:
            task = progress.add_task("Asking the teacher", total=count)
            teacher_targets = ask_teacher(
                teacher,
                pictures.large,
                arguments.views,
                arguments.work,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
            progress.update(task, completed=count)
        first = Plan(epochs=arguments.epochs, minutes=arguments.minutes, rate=arguments.rate)
        pupil = Pupil(pictures.large, pictures.targets, teacher_targets)
        plans = [first, first.again(arguments.again)] if arguments.again else [first]
        for number, (plan, checkpoint) in enumerate(zip(plans, rounds, strict=False), start=1):
            console.print(f"Round {number} of {len(plans)}: {plan.epochs} passes.")
            net = fit(
                pupil,
                len(dataset.LABELS),
                plan,
                checkpoint=checkpoint,
                judge=judge,
                report=report,
                start=net,
            )
    saved = [torch.load(path, weights_only=True) for path in rounds if path.is_file()]
    if not saved:
        raise NothingTrained(f"Train first: {rounds[0]} is not there.")
    net = LaundryNet(len(dataset.LABELS))
    net.load_state_dict(saved[-1]["average"])
    facts = {
        "training_photos": count,
        "training_known": int((pictures.targets != dataset.UNKNOWN).sum()),
        "teacher": TEACHER_NAME,
        "teacher_sha256": hashlib.sha256(teacher.read_bytes()).hexdigest(),
        "holdout_sha256": dataset.holdout_sha256(),
        "epochs": sum(each["epoch"] for each in saved),
        "minutes": round(sum(each["spent"] for each in saved) / 60, 1),
        "threads": arguments.threads,
        "plan": saved[0]["plan"],
        "plan_again": saved[1]["plan"] if len(saved) > 1 else None,
    }
    return bring_out(net, facts, size=INPUT_SIZE, view=VIEW_SIZE, work=arguments.work, run=arguments.run)


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
