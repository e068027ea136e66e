"""The chapters of the demo. Each does one thing through the public addresses and reports the result."""

import asyncio
import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from laundry.demo.client import People, Person, Services, StoryFailed, until
from laundry.demo.drill import run_drill
from laundry.paths import StackPaths
from laundry_servers.daytime import zone_by_day

Say = Callable[[str], None]
Photos = Sequence[tuple[str, bytes]]
# How soon after a fault a phone rings.
PROMISED_S = 15.0


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the closing table."""

    what: str
    outcome: str
    took: str


class Story:
    """Tells the chapters in order; ``lines`` is what happened so far."""

    def __init__(
        self,
        services: Services,
        people: People,
        paths: StackPaths,
        say: Say,
        *,
        patience_s: float = PROMISED_S,
    ) -> None:
        self.services = services
        self.paths = paths
        self.say = say
        self.patience_s = patience_s
        self.lines: list[Line] = []
        self.mark = secrets.token_hex(3)
        self.branch = f"demo-{self.mark}"
        self.helper = people.person("helper", f"helper-{self.mark}", self.branch)
        self.owner = people.person("owner", f"owner-{self.mark}", self.branch)
        self.washer = people.person("device", f"washer-{self.mark}", self.branch)
        self.quiet_customer = people.person("customer", f"quiet-{self.mark}")
        self.loud_customer = people.person("customer", f"loud-{self.mark}")
        self.tasks: list[dict[str, Any]] = []
        self.browser = ""

    def _note(self, what: str, outcome: str, took: str) -> None:
        self.lines.append(Line(what, outcome, took))

    async def register_phones(self) -> None:
        """Give the owner and the customers a phone each, and let the owner's browser take alerts."""
        for person in (self.owner, self.quiet_customer, self.loud_customer):
            device = {"token": self.phone_of(person), "platform": "android"}
            await self.services.call("POST", "notification", "/devices", who=person, json=device)
        self.browser = await self._subscribe(self.owner)
        for customer in (self.quiet_customer, self.loud_customer):
            await self._agree(customer)
        self.say("three phones registered, the owner's and two customers', and the owner's browser")

    async def _agree(self, customer: Person) -> None:
        path = "/customers/me/consent"
        asked = await self.services.json("GET", "notification", path, who=customer)
        agreed = {
            "given": True,
            "text_version": asked["text"]["version"],
            # At night nobody would be told.
            "time_zone": zone_by_day(),
        }
        await self.services.call("PUT", "notification", path, who=customer, json=agreed)

    async def _subscribe(self, person: Person) -> str:
        """Subscribe a browser at the local push service, which holds its key, and register it."""
        path = "/devices/web-push"
        offered = await self.services.json("GET", "notification", f"{path}/key", who=person)
        key = {"applicationServerKey": offered["public_key"]}
        subscription = await self.services.json("POST", "fcm", "/web-push/subscriptions", json=key)
        body = {**subscription, "name": "Demo browser"}
        await self.services.call("POST", "notification", f"{path}/subscriptions", who=person, json=body)
        endpoint: str = subscription["endpoint"]
        return endpoint

    @staticmethod
    def phone_of(person: Person) -> str:
        """The device token of somebody's phone."""
        return f"phone-of-{person.name}"

    async def upload(self, photos: Photos, advance: Callable[[], None]) -> None:
        """A helper uploads photos, each answered before anybody has read it."""
        times = []
        for name, body in photos:
            started = time.perf_counter()
            answer = await self.services.call(
                "POST",
                "helper",
                "/tasks",
                who=self.helper,
                files={"photo": (name, body, "application/octet-stream")},
                data={"branch_id": self.branch},
            )
            took = (time.perf_counter() - started) * 1000
            times.append(took)
            task = answer.json()
            if answer.status_code != 201 or task["status"] != "submitted":
                raise StoryFailed(f"{name}: expected 201 and submitted, got {answer.status_code} {task}")
            self.tasks.append(task)
            self.say(f"registered {name} ({len(body) // 1024} KB) in {took:.0f} ms")
            advance()
        self._note(
            "photos registered",
            f"{len(times)} of {len(photos)}",
            f"median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms",
        )

    def _replicas(self) -> dict[str, str]:
        urls = self.services.stack["metrics_urls"]
        return {name: url for name, url in urls.items() if name.startswith("ai-consumer")}

    async def shares(self) -> dict[str, float]:
        """How many photos each replica has read so far."""
        replicas = self._replicas()
        counts = await asyncio.gather(
            *(self.services.consumed(url, "task.submitted") for url in replicas.values())
        )
        return dict(zip(replicas, counts, strict=True))

    async def wait_for_readings(self, before: dict[str, float], advance: Callable[[], None]) -> None:
        """The replicas read; the helper's list fills."""
        started = time.perf_counter()

        async def read(task: dict[str, Any]) -> dict[str, Any]:
            async def ask() -> Any:
                shown = await self.services.json("GET", "helper", f"/tasks/{task['id']}", who=self.helper)
                return shown if shown["status"] != "submitted" else None

            shown, _ = await until(ask, within_s=60, what=f"the reading of {task['id']}")
            advance()
            result: dict[str, Any] = shown
            return result

        self.tasks = list(await asyncio.gather(*(read(task) for task in self.tasks)))
        took = time.perf_counter() - started
        unread = [task for task in self.tasks if task["status"] != "read"]
        if len(unread) == len(self.tasks):
            raise StoryFailed(f"no photo could be read: {unread[0]}")
        after = await self.shares()
        idle = [name for name in after if after[name] <= before.get(name, 0)]
        if idle and len(self.tasks) >= 3 * len(after):
            raise StoryFailed(f"{', '.join(idle)} read nothing of {len(self.tasks)} photos")
        shares = ", ".join(f"{name} {after[name] - before.get(name, 0):.0f}" for name in sorted(after))
        for task in self.tasks:
            if task["reading"]:
                best = task["reading"]["labels"][0]
                review = ", a person should look" if task["reading"]["needs_review"] else ""
                self.say(f"read {task['id'][-6:]}: {best['label']} {best['confidence']:.0%}{review}")
            else:
                self.say(f"read {task['id'][-6:]}: unreadable")
        self._note("photos read", f"{len(self.tasks)} ({shares})", f"the last {took:.1f} s after the uploads")

    async def correct_one(self) -> None:
        """The owner confirms a reading and corrects another; both become examples."""
        readable = [task for task in self.tasks if task["status"] == "read"]
        wrong = min(readable, key=lambda task: task["reading"]["labels"][0]["confidence"])
        said = wrong["reading"]["labels"][0]["label"]
        truth = "shirt" if said != "shirt" else "t-shirt"
        metrics = self.services.stack["metrics_urls"]["mlops"]
        before = await self.services.consumed(metrics, "task.confirmed")
        path = f"/tasks/{wrong['id']}/confirmation"
        body = {"labels": [{"label": truth, "count": 1}]}
        task = await self.services.json("POST", "helper", path, who=self.owner, json=body)
        if task["status"] != "confirmed" or not task["confirmation"]["corrected"]:
            raise StoryFailed(f"the correction was not taken: {task}")

        async def stored() -> bool:
            return await self.services.consumed(metrics, "task.confirmed") > before

        _, took = await until(stored, within_s=60, what="the correction at mlops")
        self.say(f"the owner corrected {said} to {truth}; mlops has it as an example")
        self._note(
            "reading corrected", f"{said} → {truth}, an example to learn from", f"{took * 1000:.0f} ms"
        )

    async def break_a_washer(self) -> None:
        """A washer reports a fault code; the owner's phone buzzes, and the owner takes care of it."""
        sample = failing(self.washer, self.branch)
        phone = self.phone_of(self.owner)
        await self.services.call(
            "POST", "monitoring", "/telemetry", who=self.washer, json={"samples": [sample]}
        )
        pushes, took = await until(
            lambda: self.services.pushes(phone),
            within_s=self.patience_s,
            what="the push to the owner's phone",
        )
        self.say(f"the owner's phone: “{pushes[0]['title']}” {pushes[0]['body']}")
        self._note("fault → push", pushes[0]["title"], f"{took * 1000:.0f} ms ({PROMISED_S:.0f} s promised)")
        encrypted, later = await until(
            lambda: self.services.pushes(self.browser),
            within_s=self.patience_s,
            what="the push to the owner's closed page",
        )
        if encrypted[0]["title"] != pushes[0]["title"]:
            raise StoryFailed(f"the browser was told something else: {encrypted[0]}")
        self.say(
            f"the owner's closed page, by Web Push, decrypted as the browser does: “{encrypted[0]['title']}”"
        )
        self._note(
            "fault → Web Push", "the same, encrypted for one browser", f"{(took + later) * 1000:.0f} ms"
        )
        path = f"/faults/{pushes[0]['data']['fault_id']}/acknowledgement"
        fault = await self.services.json("POST", "monitoring", path, who=self.owner)
        if fault["handling"] != "acknowledged" or fault["acknowledged_by"] != self.owner.name:
            raise StoryFailed(f"the owner's acknowledgement was not taken: {fault}")
        self.say("the owner takes care of it: nobody else is told")

    async def state_a_preference(self) -> None:
        """The branch says what it is like; the customer who likes that hears of it, the other does not."""
        tastes = {
            self.quiet_customer: {"quiet": 0.9, "sauna": 0.6},
            self.loud_customer: {"crossfit": 1.0, "loud-music": 0.8},
        }
        for customer, tags in tastes.items():
            await self.services.call(
                "PUT", "search", "/customers/me/preference", who=customer, json={"tags": tags}
            )
        preference = {
            "tags": {"quiet": 1.0, "sauna": 0.7},
            "title": "조용한 새벽 사우나",
            "text": "새벽 5시, 음악 없는 사우나를 엽니다.",
        }
        path = f"/branches/{self.branch}/preferences"
        await self.services.call("POST", "search", path, who=self.owner, json=preference)
        phone = self.phone_of(self.quiet_customer)
        pushes, took = await until(
            lambda: self.services.pushes(phone), within_s=60, what="the push to the customer it suits"
        )
        others = await self.services.pushes(self.phone_of(self.loud_customer))
        if others:
            raise StoryFailed(f"a customer whom the branch does not suit was told too: {others[0]}")
        self.say(f"the customer's phone: “{pushes[0]['title']}”; the other customer's stayed silent")
        self._note("preference → customers", "1 told, 1 left in peace", f"{took * 1000:.0f} ms")

    async def fail_a_message(self) -> None:
        """One message is sent to fail: it waits 1, 2 and 4 s and ends in its dead-letter queue."""
        letter = await run_drill(self.services.stack["amqp_urls"][0], self.say)
        if letter.attempts != 4 or letter.waited_s < 7:
            raise StoryFailed(f"expected 4 attempts over at least 7 s, got {letter}")
        self._note(
            "message made to fail",
            f"{letter.attempts} attempts, then {letter.queue}",
            f"{letter.waited_s:.2f} s from first to last failure",
        )


def failing(washer: Person, branch: str) -> dict[str, Any]:
    """Return what a washer reports that fails now."""
    return {
        "equipment_id": washer.name,
        "branch_id": branch,
        "kind": "washer",
        "recorded_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "fault_code": "E21",
        "metrics": {"temperature_celsius": 71.5},
    }


def photos_for(folder: Path | None, count: int) -> Photos:
    """The photos to upload: the caller's own or drawn ones, new in every run."""
    from laundry.demo.photos import photos_in, sample_photos  # noqa: PLC0415 - drawing needs Pillow, help does not

    if folder is not None:
        return photos_in(folder, most=count)
    return sample_photos(count, seed=secrets.randbelow(1_000_000))
