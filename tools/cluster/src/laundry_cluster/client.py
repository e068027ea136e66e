"""People and machines at the services' addresses; run in the cluster's network.

    python -m laundry_cluster.client story FOLDER WEB      a photo, a confirmation, a fault
    python -m laundry_cluster.client teach FOLDER WEB SEED  confirms as many photos as a run learns from
    python -m laundry_cluster.client train FOLDER WEB      begins a training run
    python -m laundry_cluster.client trained FOLDER WEB RUN  waits for a training run's end
    python -m laundry_cluster.client ledger FOLDER WEB     uploads until SIGTERM; each is to be read once
    python -m laundry_cluster.client look FOLDER WEB TASK  whether a task is still there, with its reading

WEB is the web service's address. The last line of the output is JSON.
"""

import asyncio
import json
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from laundry.demo.client import Person
from laundry.demo.photos import sample_photos
from laundry.paths import StackPaths
from laundry_cluster import servers
from laundry_cluster.release import address_of
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json
from laundry_servers.identity import LocalIdentity

BRANCH = "b1"
WITHIN_S = 120.0
RUN_S = 300.0
PER_SECOND, AGAIN_S = 3.0, 2.0
# Of each no more a minute than the services take by default.
HELPERS = 3
CONFIRMED = 24
PHONE = "phone-of-the-owner"
ENDED = ("succeeded", "failed", "cancelled")


class People:
    """Somebody of each role, who calls the services through web."""

    def __init__(self, folder: Path, web: str) -> None:
        self.facts: dict[str, Any] = read_json(folder / "facts.json") or {}
        self._identity = LocalIdentity(StackPaths(folder).identity)
        self._http = httpx.AsyncClient(base_url=f"{web}/api", timeout=20)

    def person(self, role: str, number: int = 1) -> Person:
        """Return somebody of a role at the branch."""
        name = f"{role}-{number}"
        return Person(name, self._identity.mint(role=role, branches=(BRANCH,), subject=name))

    async def ask(
        self, role: str, method: str, path: str, *, number: int = 1, **arguments: Any
    ) -> httpx.Response:
        """Ask as somebody of a role at the branch."""
        headers = {**self.person(role, number).headers, **arguments.pop("headers", {})}
        return await self._http.request(method, path, headers=headers, **arguments)

    async def done(self, role: str, method: str, path: str, **arguments: Any) -> Any:
        """As ``ask``; it has to be answered well. Raises LaundryError."""
        end = time.monotonic() + WITHIN_S
        while True:
            try:
                answer = await self.ask(role, method, path, **arguments)
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__} {error}"
            else:
                if answer.is_success:
                    return answer.json() if answer.content else None
                trouble = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    raise LaundryError(f"{method} {path}: {trouble}")
            if time.monotonic() > end:
                raise LaundryError(f"{method} {path}: {trouble}")
            await asyncio.sleep(0.5)

    async def upload(self, photo: bytes, key: str, number: int = 1) -> httpx.Response:
        """Send a photo once."""
        return await self.ask(
            "helper", "POST", "/helper/tasks", number=number,
            headers={"Idempotency-Key": key},
            data={"branch_id": BRANCH}, files={"photo": ("p.jpg", photo, "image/jpeg")},
        )  # fmt: skip

    async def task(self, task_id: str) -> dict[str, Any]:
        """Look at a task."""
        found: dict[str, Any] = await self.done("owner", "GET", f"/helper/tasks/{task_id}")
        return found

    async def tasks(self) -> dict[str, str]:
        """Return the status of every task of the branch, by its id."""
        found: dict[str, str] = {}
        cursor = None
        while True:
            page = {"branch_id": BRANCH, "limit": 200, **({"cursor": cursor} if cursor else {})}
            listed = await self.done("owner", "GET", "/helper/tasks", params=page)
            found |= {task["id"]: task["status"] for task in listed["items"]}
            if (cursor := listed["next_cursor"]) is None:
                return found

    async def has_status(self, task_id: str, status: str) -> dict[str, Any]:
        """Wait until a task is so far."""
        end = time.monotonic() + WITHIN_S
        while (task := await self.task(task_id))["status"] != status:
            if time.monotonic() > end:
                raise LaundryError(f"Task {task_id} is {task['status']}, not {status}.")
            await asyncio.sleep(0.3)
        return task


async def story(people: People) -> dict[str, Any]:
    """Let one of everything happen; returns the task and how long each took, in seconds."""
    from laundry.demo.story import failing  # noqa: PLC0415 - all others start sooner without it

    [(_, photo)] = sample_photos(1, seed=1)
    began = time.monotonic()
    task_id = (await people.upload(photo, str(uuid.uuid4()))).raise_for_status().json()["id"]
    task = await people.has_status(task_id, "read")
    read_s = time.monotonic() - began
    labels = [{"label": task["reading"]["labels"][0]["label"], "count": 1}]
    await people.done("owner", "POST", f"/helper/tasks/{task_id}/confirmation", json={"labels": labels})
    phone = {"token": PHONE, "platform": "android"}
    await people.done("owner", "POST", "/notification/devices", json=phone)
    began = time.monotonic()
    sample = failing(people.person("device"), BRANCH)
    await people.done("device", "POST", "/monitoring/telemetry", json={"samples": [sample]})
    await _rung(people.facts)
    rung_s = time.monotonic() - began
    return {"task": task_id, "read_s": round(read_s, 1), "rung_s": round(rung_s, 1)}


async def teach(people: People, seed: int) -> dict[str, Any]:
    """Confirm photos of several kinds, others for each seed; returns how many."""

    async def confirm(name: str, photo: bytes) -> None:
        uploaded = (await people.upload(photo, str(uuid.uuid4()))).raise_for_status().json()["id"]
        await people.has_status(uploaded, "read")
        labels = [{"label": name.rpartition("-")[0], "count": 1}]
        await people.done("owner", "POST", f"/helper/tasks/{uploaded}/confirmation", json={"labels": labels})

    await asyncio.gather(*(confirm(*each) for each in sample_photos(CONFIRMED, seed=1000 * seed)))
    return {"confirmed": CONFIRMED}


async def train(people: People) -> dict[str, Any]:
    """Begin a training run; returns it."""
    run: dict[str, Any] = await people.done(
        "operator", "POST", "/mlops/training-runs", json={"kind": "refit"}
    )
    return run


async def trained(people: People, run_id: str) -> dict[str, Any]:
    """Wait until a training run has ended; returns it. Raises LaundryError."""
    end = time.monotonic() + RUN_S
    while True:
        run: dict[str, Any] = await people.done("operator", "GET", f"/mlops/training-runs/{run_id}")
        if run["status"] in ENDED:
            return run
        if time.monotonic() > end:
            raise LaundryError(f"The training run is {run['status']}.")
        await asyncio.sleep(0.5)


async def _rung(facts: Mapping[str, Any]) -> None:
    end = time.monotonic() + WITHIN_S
    async with httpx.AsyncClient(timeout=10) as http:
        while time.monotonic() < end:
            messages = (await http.get(f"{address_of(facts, servers.PHONES)}/messages")).json()
            if any(message["token"] == PHONE for message in messages):
                return
            await asyncio.sleep(0.2)
    raise LaundryError(f"The owner's phone did not ring within {WITHIN_S:g} s.")


@dataclass
class Ledger:
    """What was sent, and what came of it; kept outside the system."""

    people: People
    before: set[str]
    tasks: dict[str, str] = field(default_factory=dict)
    resent: int = 0
    slowest_s: float = 0.0

    async def send(self, photo: bytes, number: int) -> None:
        """Send a photo as a phone does: again with the same key until it is taken."""
        key, began = str(uuid.uuid4()), time.monotonic()
        while time.monotonic() < began + WITHIN_S:
            try:
                answer = await self.people.upload(photo, key, number)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.is_success:
                self.tasks[key] = answer.json()["id"]
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                return
            self.resent += 1
            await asyncio.sleep(AGAIN_S)
        self.tasks[key] = ""

    async def close(self) -> dict[str, Any]:
        """Wait until all is read; what is not counts as lost."""
        taken = set(self.tasks.values()) - {""}
        end = time.monotonic() + WITHIN_S
        while True:
            there = await self.people.tasks()
            read = {task for task in taken if there.get(task) == "read"}
            if read == taken or time.monotonic() > end:
                break
            await asyncio.sleep(0.5)
        # What nobody was told of: a photo that was taken twice.
        doubled = there.keys() - self.before - taken
        return {
            "sent": len(self.tasks),
            "lost": len(self.tasks) - len(read),
            "doubled": len(doubled),
            "resent": self.resent,
            "slowest_s": round(self.slowest_s, 2),
        }


async def ledger(people: People) -> dict[str, Any]:
    """Upload at a steady rate until a signal comes, then balance the books."""
    over = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, over.set)
    kept, sending = Ledger(people, set(await people.tasks())), set()
    photos = [photo for _, photo in sample_photos(6, seed=2)]
    number = 0
    while not over.is_set():
        # Nobody sent exactly these bytes before, so each is a task of its own.
        photo = photos[number % len(photos)] + number.to_bytes(4)
        task = asyncio.create_task(kept.send(photo, number % HELPERS + 1))
        sending.add(task)
        task.add_done_callback(sending.discard)
        number += 1
        if number == 1:
            print("sending", flush=True)
        await asyncio.sleep(1 / PER_SECOND)
    await asyncio.gather(*sending)
    return await kept.close()


async def main() -> None:
    """Do what the arguments say."""
    what, folder, web, *more = sys.argv[1:]
    people = People(Path(folder), web)
    if what == "story":
        said = await story(people)
    elif what == "ledger":
        said = await ledger(people)
    elif what == "teach":
        said = await teach(people, int(more[0]))
    elif what == "train":
        said = await train(people)
    elif what == "trained":
        said = await trained(people, more[0])
    else:
        task = await people.task(more[0])
        said = {"status": task["status"], "labels": (task["reading"] or {}).get("labels")}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (LaundryError, httpx.HTTPError) as trouble:
        sys.exit(f"{type(trouble).__name__}: {trouble}")
