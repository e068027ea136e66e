"""Examples to learn from: lists, and a refit, which looks at the newest of them."""

import asyncio
import hashlib
import secrets
import time

import numpy as np

from laundry.paths import PROJECT
from laundry_lab.bench.scale.databases import administered, fill
from laundry_lab.bench.scale.growth import Reading
from laundry_lab.bench.scale.requests import Request, timed
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_servers.files import read_json

FILL = """
TRUNCATE training_examples, example_branches, photo_features, run_examples CASCADE;
INSERT INTO example_branches (branch_id, side)
SELECT 'scale-' || n, CASE WHEN n % 5 = 0 THEN 'holdout' ELSE 'learning' END
FROM generate_series(0, {branches}::int) AS n;
INSERT INTO training_examples (id, task_id, task_version, event_id, branch_id, photo_key, photo_sha256,
    photo_bytes, photo_media_type, read_labels, labels, corrected, confirmed_by, confirmed_at)
SELECT uuidv7(at - clock_timestamp())::text, 'task-' || n, 3, 'event-' || n, 'scale-' || n % {branches},
    'photos/' || n, 'photo-' || n, 500000, 'image/jpeg', '[{{"label": "shirt", "confidence": 0.93}}]',
    jsonb_build_array(
        jsonb_build_object('label', (CAST('{{{labels}}}' AS text[]))[1 + n % {classes}], 'count', 1)
    ),
    n % 40 = 0, 'owner-' || n % {branches}, at
FROM (
    SELECT n, now() - n * (interval '365 days' / {rows}) AS at FROM generate_series(1, {rows}::int) AS n
) AS numbered;
"""
NEWEST = 5_000
"""As many as a refit looks at (LAUNDRY_REFIT_MAX_EXAMPLES)."""

RUN_WITHIN_S = 300.0
REQUESTS = (
    Request("examples", "mlops", "/examples", "operator"),
    Request("how careful owners are", "mlops", "/examples/owners", "operator", growth="linear"),
    Request("training runs", "mlops", "/training-runs", "operator"),
    Request("models", "mlops", "/models", "operator"),
)
ENDED = ("succeeded", "failed", "cancelled")


async def measure(stage: Stage, rows: int, branches: int) -> list[Reading]:
    """Fill mlops' database anew with so many examples, time its lists and a refit."""
    model = read_json(PROJECT / "models" / "manifest.json") or {}
    labels = model["labels"]
    await fill(
        stage,
        "mlops",
        FILL,
        rows=rows,
        branches=branches,
        classes=len(labels),
        labels=",".join(f'"{each}"' for each in labels),
    )
    await _features(stage, rows, model)
    found = await timed(stage, REQUESTS, rows)
    seconds, note = await _refit(stage)
    return [*found, Reading("a refit", "page", rows, 1000 * seconds, note=note)]


async def _features(stage: Stage, rows: int, model: dict[str, object]) -> None:
    """Store what the shipped model saw of its own photos as what it sees of the newest examples'."""
    folder = PROJECT / "models"
    with np.load(next(folder.glob("*.rehearsal.npz"))) as kept:
        features, targets = kept["features"], kept["targets"]
    root = hashlib.sha256((folder / str(model["file"])).read_bytes()).hexdigest()
    of_class = {number: np.flatnonzero(targets == number) for number in range(len(model["labels"]))}  # type: ignore[arg-type]
    seen = []
    for n in range(1, min(rows, NEWEST) + 1):
        alike = of_class[n % len(of_class)]
        seen.append((f"photo-{n}", root, features[alike[n % len(alike)]].tobytes(), secrets.token_bytes(32)))
    async with administered(stage, "mlops") as connection:
        columns = ["photo_sha256", "backbone", "features", "picture_hash"]
        await connection.copy_records_to_table("photo_features", records=seen, columns=columns)


async def _refit(stage: Stage) -> tuple[float, str]:
    operator = stage.headers("operator")
    async with stage.client("mlops") as client:
        run = (
            (await client.post("/training-runs", json={"kind": "refit"}, headers=operator))
            .raise_for_status()
            .json()
        )
        began = time.monotonic()
        while run["status"] not in ENDED:
            if time.monotonic() - began > RUN_WITHIN_S:
                raise NotMeasured(f"scale: a refit is not done within {RUN_WITHIN_S:.0f} s")
            await asyncio.sleep(0.5)
            run = (
                (await client.get(f"/training-runs/{run['id']}", headers=operator)).raise_for_status().json()
            )
    return time.monotonic() - began, f"{run['status']} {run.get('error') or ''}".strip()
