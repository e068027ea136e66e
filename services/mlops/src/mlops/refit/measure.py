"""What a refit brings to households never seen, over many of them: ``python -m mlops.refit.measure``.

Two thirds of a held-out household's photos are learnt, the others judged, three times; so are all other
held-out households.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.preprocess import decode_for_model
from mlops.heldout import REHEARSAL_FIELD, entry_of
from mlops.refit.graph import read_head
from mlops.refit.head import fit, log_loss, whole
from mlops.refit.held_out import read_rehearsal
from mlops.training import dataset

DRAWS = 3
LEAST = 10


def main() -> int:
    """Measure and print a table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlops.refit.measure", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with clothing/")
    parser.add_argument("--model", type=Path, default=Path("models"), help="folder of the model")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of corrections drawn at random")
    arguments = parser.parse_args()
    try:
        photos = dataset.read_photos(arguments.data)
    except dataset.DataMissingError as error:
        print(error, file=sys.stderr)
        return 2
    manifest = Manifest.from_json((arguments.model / "manifest.json").read_bytes())
    file = (arguments.model / manifest.file).read_bytes()
    entry = entry_of(manifest, REHEARSAL_FIELD)
    model, base = Model.load(file, sha256=manifest.sha256), read_head(file)
    rehearsal = None
    if entry is not None:
        rehearsal = read_rehearsal(
            (arguments.model / entry.file).read_bytes(), entry, labels=len(model.labels)
        )
    holdout = dataset.read_holdout()
    held = [p for p in photos if p.household in holdout and p.target != dataset.UNKNOWN]
    folder = arguments.data / "clothing"
    features = np.stack(
        [
            model.predict(decode_for_model((folder / p.path).read_bytes(), model.input_size)[np.newaxis])[1][
                0
            ]
            for p in held
        ]
    ).astype(np.float64)
    targets = np.array([p.target for p in held])
    owners = np.array([p.household for p in held])
    before = base.probabilities(features)
    hit = before.argmax(axis=1) == targets
    rows, others = [], []
    for owner, count in Counter(owners.tolist()).most_common():
        if count < LEAST:
            continue
        own = np.flatnonzero(owners == owner)
        shares = []
        for draw in range(DRAWS):
            random = np.random.default_rng(draw)
            order = random.permutation(own)
            learnt, judged = order[: count * 2 // 3], order[count * 2 // 3 :]
            truth = targets[learnt].copy()
            wrong = random.random(len(truth)) < arguments.wrong
            truth[wrong] = random.integers(0, len(model.labels), int(wrong.sum()))
            after = fit(base, whole(features[learnt], truth), rehearsal).probabilities(features)
            now = after.argmax(axis=1) == targets
            rest = owners != owner
            shares.append((hit[judged].mean(), now[judged].mean()))
            others.append(
                (
                    now[rest].mean() - hit[rest].mean(),
                    log_loss(after[rest], targets[rest]) - log_loss(before[rest], targets[rest]),
                )
            )
        was, became = np.mean(shares, axis=0)
        rows.append(became - was)
        print(f"household {owner:>4}: {count:3d} photos, {was:6.1%} -> {became:6.1%}")
    gain, half = float(np.mean(rows)), 1.96 * float(np.std(rows, ddof=1)) / len(rows) ** 0.5
    change, loss = np.mean(others, axis=0)
    print(
        f"{len(rows)} households of {LEAST} photos or more: {gain:+.1%} (95 %: {gain - half:+.1%} to "
        f"{gain + half:+.1%}); all others {change:+.2%}, log loss {loss:+.4f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
