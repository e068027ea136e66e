"""The model card: what the shipped model is, what it was judged on, what it cannot do."""

# ruff: noqa: E501  (prose)

from __future__ import annotations

from collections.abc import Sequence

from laundry_reading.manifest import Manifest
from laundry_training.evaluate import Evaluation
from laundry_training.lineage import TrainingLineage
from laundry_training.out_of_distribution import DrawnScore
from laundry_training.piles import PileScore


def write_card(
    manifest: Manifest, result: Evaluation, piles: Sequence[PileScore], drawn: Sequence[DrawnScore]
) -> str:
    """The card as Markdown, made from the manifest and the evaluation of that very file."""
    lineage, metrics = TrainingLineage.of(manifest), manifest.metrics
    labels = [score.label for score in result.classes]
    lines = [
        f"# Model card: laundry-{manifest.version}",
        "",
        "Made by `make model` together with the model; do not edit by hand.",
        "",
        f"- **File** `{manifest.file}`, {manifest.file_bytes / 1e6:.1f} MB, sha256 `{manifest.sha256}`",
        f"- **Made** {manifest.created_at:%Y-%m-%d %H:%M} UTC",
        f"- **Reads** one photo of one garment, squashed to {manifest.input_size} x {manifest.input_size} pixels "
        f"(preprocessing `{manifest.preprocess_version}`), of which the network sees the middle "
        f"{lineage.view_size} x {lineage.view_size}",
        f"- **Says** one of {', '.join(labels)}",
        f"- **Network** {lineage.network}, {lineage.parameters:,} parameters, trained from random weights; {lineage.arithmetic}",
        f"- **Speed** {metrics['milliseconds_per_photo']:.1f} ms a decoded photo on one core where it was made",
        "",
        "## On households it never saw",
        "",
        f"{result.photos} photos of {result.households} households, frozen in `holdout_households.txt`, were kept "
        "out of training. All figures are measured on the exported file through the serving code.",
        "",
        "| figure | value |",
        "| --- | --- |",
        f"| first guess right (top-1) | {result.top1:.1%} (95 % interval over households "
        f"{result.top1_low:.1%} to {result.top1_high:.1%}) |",
        f"| among the first two (top-2) | {result.top2:.1%} |",
        f"| top-1, every household counting the same | {result.household_mean:.1%} |",
        f"| log loss / calibration error | {result.log_loss:.3f} / {result.calibration_error:.1%} |",
        f"| accepted without a person (confidence × chance of being any of the classes ≥ {manifest.threshold:.2f}) | {result.accepted:.1%} of photos |",
        f"| accepted ones that are right | {result.accepted_accuracy:.1%} |",
        f"| photos of other things sent to a person | {result.other_reviewed:.1%} of {result.other_photos} |",
        "",
        "Temperature and threshold of the shipped file are fitted on all held-out photos; for the figures above "
        "they were fitted on four fifths of the households and applied to the other fifth, in turn.",
        "",
        "| class | photos | found (recall) | claims right (precision) |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {score.label} | {score.photos} | {score.recall:.1%} | {score.precision:.1%} |"
            for score in result.classes
        ),
        "",
        "### Confusion: rows are the truth, columns the first guess",
        "",
        "| | " + " | ".join(labels) + " |",
        "| --- |" + " ---: |" * len(labels),
        *(
            f"| **{label}** | " + " | ".join(str(cell) if cell else "·" for cell in row) + " |"
            for label, row in zip(labels, result.confusion, strict=True)
        ),
        "",
        "## What is not laundry",
        "",
        "A small layer beside the last one tells whether a photo shows any of the classes, and shows it well enough to be "
        "read. It learnt from photos of other things, from drawn pictures and corners of photos without a garment, and "
        "from composed pictures in which a garment covers little. None of "
        "the kinds below was learnt from, and nothing of a held-out household:",
        "",
        "| pictures of | number | sent to a person |",
        "| --- | ---: | ---: |",
        f"| other things, photos of held-out households | {result.other_photos} | {result.other_reviewed:.0%} |",
        *(f"| {kind.name} | {kind.pictures} | {kind.reviewed:.0%} |" for kind in drawn),
        "",
        "Garments that cover little of the photo, or lie beside bare ground, are in the next table: the last column says "
        "how many are accepted wrongly.",
        "",
        "## More than one garment",
        "",
        "Another such layer tells photos that seem to show several garments: they are marked `multiple` and go to a "
        "person, however sure the first guess is. Thirteen overlapping parts of such a photo are then read on their own, "
        "and those that look most like one garment make a list with counts, which the person corrects. No photos of real "
        "piles were at hand; these are composed of held-out photos, and the layer learnt from pictures composed of "
        f"training photos. Its threshold calls {_false_alarms(manifest)} of the held-out photos of one garment several.",
        "",
        "| pictures of | number | said `multiple` | to a person, for any reason | accepted with a class that is not there |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {pile.name} | {pile.pictures} | {pile.multiple:.0%} | {pile.reviewed:.0%} | {pile.claimed:.0%} |"
            for pile in piles
        ),
        "",
        "The lists of those said to be `multiple`; where no two garments were found, the best guess alone is one of them, "
        "and of one garment a list of more is wrong:",
        "",
        "| pictures of | list right, with counts | number of garments right | garments listed that are there | "
        "garments there that are listed |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {pile.name} | {pile.listed:.0%} | {pile.counted:.0%} | {pile.right:.0%} | {pile.found:.0%} |"
            for pile in piles
        ),
        "",
        "## Where it comes from",
        "",
        f"- **Photos**: {lineage.training_photos:,} of the CC0 clothing photos by Alexey Grigorev's contributors "
        f"(`clothing-dataset-small` at 1196151 and `clothing-dataset` at 7ed86a9), "
        f"{lineage.training_known:,} of them of the classes; the other "
        f"{lineage.training_photos - lineage.training_known:,} (polo, hoodie, blazer and so on) teach doubt.",
        f"- **Teacher**: {lineage.teacher} (sha256 `{lineage.teacher_sha256[:16]}…`): its opinions and "
        "features on random views of the training photos are imitated beside the labels. No weight of it is "
        "in this file.",
        f"- **Training**: {lineage.epochs} epochs, {lineage.minutes:.0f} minutes on {lineage.threads} cores, "
        "AdamW with a falling rate, moving average of the weights, mixup and cutmix, random frames, light and "
        "occlusion.",
        *(
            [
                f"- **Network of** {lineage.network_of}; the layers beside the last one, temperature and thresholds are new"
            ]
            if lineage.network_of not in (None, manifest.version)
            else []
        ),
        *([f"- **Remark**: {lineage.remark}"] if lineage.remark else []),
        "",
        "## Limits",
        "",
        "- Its lists of several garments are a help to who counts, no count: see above. A heap of crumpled laundry was "
        "never seen by it.",
        "- No towels, no stains, no fabrics, no sizes: there were none in the photos.",
        "- Polos, hoodies, blazers, undershirts and the like are none of its classes; it sends most of them to a person, "
        "not all, and names the nearest class of the rest with confidence.",
        "- What else is no laundry it knows from drawings alone: photos of rooms, food, animals or streets were never "
        "tried.",
        "- The held-out photos also served to choose settings, the reading size and the rim that is left out among them, and the teacher had seen some of those "
        "households' photos. Expect a few points less on new households; the interval above says how much "
        "households differ.",
        "- Rare classes (hat, skirt) have few held-out photos: their figures are rough.",
        "- Contributors live in few countries; clothes that they do not wear are not known here.",
        "",
    ]
    return "\n".join(lines)


def _false_alarms(manifest: Manifest) -> str:
    return f"{manifest.metrics['false_alarms']:.1%}"
