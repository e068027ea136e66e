"""When a run is due, how drift is told, and what an operator sees of the examples."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import log

import httpx
import numpy as np
import pytest

from laundry_events import new_id
from laundry_events.events import CountedLabel, ReadLabel, TaskConfirmed
from laundry_service.storage.database import Database
from laundry_testing.identity import FileIdentity
from laundry_testing.models import photo_of
from laundry_testing.serving import metrics_text
from mlops import repository
from mlops.drift import ALARM, BEFORE, LEAST_SHARE, RECENT, Drift, drift_of, stability
from mlops.examples import ConfirmedReading
from mlops.retraining import NewExamples, Rules, due
from mlops.service.policy import Policy

NOW = datetime(2026, 5, 1, tzinfo=UTC)
RULES = Rules(after_corrections=20, every_hours=24, on_drift=True, pause_hours=6)
CALM, STORM = Drift(0.01, 0.02, 0.1), Drift(0.01, 0.4, 0.5)


@pytest.mark.parametrize(
    ("new", "drift", "expected"),
    [
        (NewExamples(0, 0, None), STORM, None),
        (NewExamples(30, 19, NOW), CALM, None),
        (NewExamples(30, 20, NOW), CALM, "policy:corrections"),
        (NewExamples(1, 0, NOW - timedelta(hours=24)), None, "policy:schedule"),
        (NewExamples(1, 0, NOW - timedelta(hours=7)), STORM, "policy:drift"),
        (NewExamples(1, 0, NOW - timedelta(hours=5)), STORM, None),
    ],
    ids=["nothing new", "too few", "enough corrections", "a day ago", "drift", "drift, but just tried"],
)
def test_when_a_run_is_due(new: NewExamples, drift: Drift | None, expected: str | None) -> None:
    assert due(RULES, new, drift, NOW) == expected
    never = Rules(after_corrections=0, every_hours=0, on_drift=False, pause_hours=6)
    assert due(never, new, drift, NOW) is None


def readings(count: int, mix: list[float], sure: float, seed: int) -> list[ConfirmedReading]:
    random = np.random.default_rng(seed)
    return [
        ConfirmedReading(
            read_labels=[
                ReadLabel(
                    label=f"l{random.choice(3, p=mix)}",
                    confidence=float(np.clip(random.normal(sure, 0.1), 0, 1)),
                )
            ],
            labels=[CountedLabel(label="l0")],
            corrected=False,
        )
        for _ in range(count)
    ]


def test_drift_is_told_from_chance() -> None:
    before = readings(BEFORE, [0.6, 0.3, 0.1], 0.8, 1)
    same = drift_of([*readings(RECENT, [0.6, 0.3, 0.1], 0.8, 2), *before])
    winter = drift_of([*readings(RECENT, [0.1, 0.3, 0.6], 0.8, 3), *before])
    dark = drift_of([*readings(RECENT, [0.6, 0.3, 0.1], 0.5, 4), *before])
    assert same is not None
    assert winter is not None
    assert dark is not None
    assert not same.alarming
    assert winter.classes > ALARM > winter.confidence
    assert dark.confidence > ALARM > dark.classes
    assert drift_of(before[:RECENT]) is None
    # Lists of several kinds are no first guesses, however many of them come.
    kinds = [CountedLabel(label=label) for label in ("l0", "l1")]
    piles = [replace(each, labels=kinds) for each in readings(999, [0, 0, 1], 0.9, 5)]
    assert drift_of([*piles, *readings(RECENT, [0.6, 0.3, 0.1], 0.8, 2), *before]) == same
    assert stability(["a"], ["a"]) == 0


@pytest.mark.servers
async def test_enough_corrections_queue_one_run_and_an_operator_sees_why(
    database: Database,
    confirmed: Callable[..., TaskConfirmed],
    identity: FileIdentity,
    service: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
) -> None:
    rules = Rules(after_corrections=3, every_hours=0, on_drift=True, pause_hours=1)
    policy = Policy(database, rules)
    for number, label in enumerate(("pants", "shoes", "t-shirt", "shoes")):
        assert await policy.check() is None
        async with database.transaction() as session:
            event = confirmed(photo_of(label, size=(48, 36), seed=number), label)
            await repository.store_examples(session, {new_id(): event})
    assert await policy.check() == "policy:corrections"
    # Asked for once: what was there then does not count again.
    assert await policy.check() is None
    async with service(retrain_after_corrections=0) as client:
        operator = identity.bearer("operator")
        page = (await client.get("/examples?limit=3", headers=operator)).json()
        rest = (await client.get(f"/examples?cursor={page['next_cursor']}", headers=operator)).json()
        owners = (await client.get("/examples/owners", headers=operator)).json()
        refused = await client.get("/examples", headers=identity.bearer("owner"))
    assert [len(page["items"]), len(rest["items"]), refused.status_code] == [3, 1, 403]
    newest = page["items"][0]
    assert (newest["side"], newest["corrected"], newest["confirmed_by"]) == ("learning", True, "owner-1")
    assert (owners["items"][0]["labels"], owners["items"][0]["corrected"]) == (4, 3)


@pytest.mark.servers
async def test_the_gauges_that_alerts_watch_show_the_drift_of_stored_examples(
    database: Database,
    confirmed: Callable[..., TaskConfirmed],
    service: Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]],
) -> None:
    photo = photo_of("pants", size=(48, 36))

    async def store(count: int, **changes: object) -> None:
        async with database.transaction() as session:
            for _ in range(count):
                event = confirmed(photo, "pants", **changes)
                await repository.store_examples(session, {new_id(): event})

    rules = Rules(after_corrections=0, every_hours=0, on_drift=False, pause_hours=1)
    policy = Policy(database, rules)
    async with service(retrain_after_corrections=0, retrain_on_drift=False) as client:
        await store(2 * RECENT)
        await policy.check()
        assert await _gauges(client) == {"classes": 0, "confidence": 0, "corrected": 0}
        await store(RECENT // 2)
        await store(RECENT // 2, read_labels=[ReadLabel(label="shoes", confidence=0.4)], corrected=True)
        await policy.check()
        shown = await _gauges(client)
    # What was always one class and one confidence is now half another, which nothing was before.
    moved = pytest.approx((0.5 - 1) * log(0.5) + (0.5 - LEAST_SHARE) * log(0.5 / LEAST_SHARE))
    assert shown == {"classes": moved, "confidence": moved, "corrected": 0.5}


async def _gauges(client: httpx.AsyncClient) -> dict[str, float]:
    names = {
        'laundry_reading_drift{of="classes"}': "classes",
        'laundry_reading_drift{of="confidence"}': "confidence",
        "laundry_corrected_share": "corrected",
    }
    pairs = [line.rsplit(" ", 1) for line in metrics_text().splitlines()]
    return {names[name]: float(value) for name, value in pairs if name in names}


@pytest.mark.servers
async def test_failures_are_counted_since_a_run_last_succeeded(database: Database) -> None:
    counts = []
    for status in ("failed", "failed", "cancelled", "failed", "succeeded", "failed"):
        async with database.transaction() as session:
            run = await repository.add_run(session, "refit", requested_by="op")
            if status != "cancelled":
                assert await repository.move_run(session, run.id, "running")
            assert await repository.move_run(session, run.id, status)
            counts.append(await repository.failures_in_a_row(session))
    assert counts == [1, 2, 2, 3, 0, 1]
