"""Load: an owner who confirms readings and states preferences, and matching customers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import httpx

from laundry_lab.faults.load import AGAIN_S, REQUEST_S, Load
from laundry_servers.daytime import zone_by_day

CONFIRM_EVERY_S = 1.0
STATE_EVERY_S = 5.0
# Whoever is answered so sends it again.
PASSES = (408, 425, 429)


class Refused(Exception):
    """A service refuses what it should take."""


async def confirm_readings(load: Load) -> None:
    """Let an owner confirm the newest photo every second."""
    asked: set[str] = set()
    async with load.stage.client("helper") as client, asyncio.TaskGroup() as confirmations:
        answer = await client.get("/labels", headers=_owner(load))
        label = answer.raise_for_status().json()["items"][0]
        while True:
            await load.goes_on()
            await load.confirming.wait()
            task_id = load.ledger.newest_task(besides=asked)
            if task_id is not None:
                asked.add(task_id)
                confirmations.create_task(load.counted(_confirm(load, client, task_id, label)))
            await asyncio.sleep(CONFIRM_EVERY_S)


async def _confirm(load: Load, client: httpx.AsyncClient, task_id: str, label: str) -> None:
    body = {"labels": [{"label": label, "count": 1}]}
    while True:
        signed_with = load.stage.identity.key_id
        with suppress(httpx.HTTPError, OSError):
            answer = await client.post(
                f"/tasks/{task_id}/confirmation", json=body, headers=_owner(load), timeout=REQUEST_S
            )
            if answer.status_code == 200:
                load.ledger.took_confirmation(task_id)
                return
            if answer.status_code == 409 and answer.json().get("code") == "task-not-read":
                # Nothing is promised yet: waiting for a reading does not delay a pause.
                if not load.going or not load.confirming.is_set():
                    return
            else:
                _check(load, answer, signed_with)
        await asyncio.sleep(AGAIN_S)


async def state_preferences(load: Load) -> None:
    """Let a branch say every five seconds what one new customer likes, whose phone is known."""
    number = 0
    async with (
        load.stage.client("search") as search,
        load.stage.client("notification") as notification,
        asyncio.TaskGroup() as statements,
    ):
        while True:
            await load.goes_on()
            statements.create_task(load.counted(_state(load, search, notification, number)))
            number += 1
            await asyncio.sleep(STATE_EVERY_S)


async def _state(load: Load, search: httpx.AsyncClient, notification: httpx.AsyncClient, number: int) -> None:
    customer = f"{load.customers}-{number}"
    # A tag that nobody else likes or offers: the preference suits this customer alone.
    tags = {f"faults-{load.stage.run}-{number}": 1.0}

    def as_customer() -> dict[str, str]:
        return load.stage.headers("customer", subject=customer)

    device = {"token": customer, "platform": "android"}
    await _until_taken(load, notification, "POST", "/devices", device, headers=as_customer)
    consent = "/customers/me/consent"
    asked = await _until_taken(load, notification, "GET", consent, None, headers=as_customer)
    agreed = {
        "given": True,
        "text_version": asked.json()["text"]["version"],
        "time_zone": zone_by_day(),
    }
    await _until_taken(load, notification, "PUT", consent, agreed, headers=as_customer)
    await _until_taken(load, search, "PUT", "/customers/me/preference", {"tags": tags}, headers=as_customer)
    stated = {"tags": tags, "title": "Made for you", "text": "A branch for one customer."}
    path = f"/branches/{load.branch}/preferences"

    def as_owner() -> dict[str, str]:
        return {**_owner(load), "Idempotency-Key": customer}

    answer = await _until_taken(load, search, "POST", path, stated, headers=as_owner)
    load.ledger.took_preference(answer.json()["id"], customer)


async def _until_taken(
    load: Load,
    client: httpx.AsyncClient,
    method: str,
    path: str,
    body: object,
    *,
    headers: Callable[[], dict[str, str]],
) -> httpx.Response:
    while True:
        signed_with = load.stage.identity.key_id
        with suppress(httpx.HTTPError, OSError):
            answer = await client.request(method, path, json=body, headers=headers(), timeout=REQUEST_S)
            if answer.status_code in (200, 201):
                return answer
            _check(load, answer, signed_with)
        await asyncio.sleep(AGAIN_S)


def _check(load: Load, answer: httpx.Response, signed_with: str) -> None:
    if load.signs_in_again(answer, signed_with):
        return
    if 400 <= answer.status_code < 500 and answer.status_code not in PASSES:
        raise Refused(f"{answer.request.url.path} was answered {answer.status_code}: {answer.text[:200]}")


def _owner(load: Load) -> dict[str, str]:
    return load.stage.headers("owner", load.branch)
