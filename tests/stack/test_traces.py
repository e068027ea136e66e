"""One trace from a phone's request to what comes of it, as a collector receives it."""

import asyncio
import json
import secrets
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from laundry.demo.client import People, until
from laundry.demo.photos import sample_photos
from laundry.demo.story import Story
from laundry_catalogue import copies_of
from laundry_testing.otlp import Receiver, Span
from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]

PHONE = "00f067aa0ba902b7"
Name = tuple[str, str, str]
"""A service, what it did, and the kind of span."""
UPLOADED: list[Name] = [
    ("web", "POST /api/{service}/{path:path}", "server"),
    ("web", "POST", "client"),
    ("helper", "POST /tasks", "server"),
    ("helper", "send task.submitted", "producer"),
    ("ai-consumer", "process task.submitted", "consumer"),
    ("ai-consumer", "read photo", "internal"),
    ("ai-consumer", "send task.read", "producer"),
    ("helper", "process task.read", "consumer"),
]
FAILED: list[Name] = [
    ("monitoring", "POST /telemetry", "server"),
    ("monitoring", "send equipment.fault", "producer"),
    ("notification-faults", "process equipment.fault", "consumer"),
    ("notification-faults", "push equipment_fault", "internal"),
    ("notification-faults", "POST", "client"),
]


class Trace:
    """The spans of one trace, by who made them and where they hang."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self._by_id = {span.span_id: span for span in spans}

    def one(self, service: str, name: str, kind: str) -> Span:
        (span,) = self.all(service, name, kind)
        return span

    def all(self, service: str, name: str, kind: str) -> list[Span]:
        return [each for each in self.spans if (each.service, each.name, each.kind) == (service, name, kind)]

    def within(self, span: Span, around: Span) -> bool:
        while span.parent and span.parent != around.span_id:
            if span.parent not in self._by_id:
                return False
            span = self._by_id[span.parent]
        return span.parent == around.span_id

    def details(self, around: Span) -> set[str]:
        """What was asked of the database and the object store for a span, in its own process."""
        return {
            str(each.attributes.get("rpc.method") or each.attributes["db.system.name"])
            for each in self.spans
            if each.service == around.service
            and each.kind == "client"
            and {"rpc.method", "db.system.name"} & each.attributes.keys()
            and self.within(each, around)
        }


async def whole(
    receiver: Receiver, trace_id: str, names: Collection[Name], statuses: Collection[int] = ()
) -> Trace:
    """Wait until these spans have come, and all that others hang on; what ended before comes with them."""

    async def come() -> bool:
        spans = receiver.trace(trace_id)
        if {span.parent for span in spans if span.parent} - {span.span_id for span in spans} - {PHONE}:
            return False
        answered = {span.attributes.get("http.response.status_code") for span in spans}
        known = {(span.service, span.name, span.kind) for span in spans}
        return {*names} <= known and {*statuses} <= answered

    await until(come, within_s=60, what=f"the spans {names}")
    return Trace(receiver.trace(trace_id))


async def uploaded(story: Story, receiver: Receiver) -> Trace:
    """Upload a photo as a phone does, through the pages, and wait until it is read."""
    trace_id = secrets.token_hex(16)
    name, body = sample_photos(1, seed=hash(trace_id))[0]
    await story.services.call(
        "POST",
        "web",
        "/api/helper/tasks",
        who=story.helper,
        headers={"traceparent": f"00-{trace_id}-{PHONE}-01"},
        files={"photo": (name, body, "image/jpeg")},
        data={"branch_id": story.branch},
    )
    return await whole(receiver, trace_id, UPLOADED)


async def test_one_trace_goes_from_the_upload_to_the_reading(story: Story, spans: Receiver) -> None:
    trace = await uploaded(story, spans)
    page = trace.one("web", "POST /api/{service}/{path:path}", "server")
    asked = trace.one("web", "POST", "client")
    upload = trace.one("helper", "POST /tasks", "server")
    submitted = trace.one("helper", "send task.submitted", "producer")
    taken = trace.one("ai-consumer", "process task.submitted", "consumer")
    inference = trace.one("ai-consumer", "read photo", "internal")
    read = trace.one("ai-consumer", "send task.read", "producer")
    noted = trace.one("helper", "process task.read", "consumer")

    assert page.parent == PHONE
    assert asked.parent == page.span_id
    assert upload.parent == asked.span_id
    assert trace.within(submitted, upload)
    assert taken.parent == submitted.span_id
    assert trace.within(inference, taken)
    assert trace.within(read, taken)
    assert noted.parent == read.span_id
    assert trace.details(upload) == {"PutObject", "postgresql"}
    assert "GetObject" in trace.details(taken)
    assert trace.details(noted) == {"postgresql"}
    assert not any(each.failed for each in trace.spans)

    assert upload.attributes["http.request.method"] == "POST"
    assert upload.attributes["http.route"] == "/tasks"
    assert upload.attributes["http.response.status_code"] == 201
    assert submitted.attributes["messaging.destination.name"] == "laundry.events:task.submitted"
    assert submitted.attributes["messaging.message.id"] == taken.attributes["messaging.message.id"]
    # Whoever reads traces sees neither the branch nor, with it, the photo's key.
    told = json.dumps([dict(each.attributes) for each in trace.spans], default=str)
    assert story.branch not in told


async def test_the_details_of_one_service_are_switched_while_it_runs(
    story: Story, spans: Receiver, stack_folder: Path
) -> None:
    async def turn(word: str) -> None:
        turned = await asyncio.to_thread(laundry, stack_folder, "telemetry", word, "helper")
        assert turned.returncode == 0, turned.stderr
        assert turned.stdout == "".join(f"{name}: details {word}\n" for name in copies_of("helper"))

    await turn("off")
    trace = await uploaded(story, spans)
    upload = trace.one("helper", "POST /tasks", "server")
    taken = trace.one("ai-consumer", "process task.submitted", "consumer")
    assert trace.details(upload) == set()
    assert trace.within(taken, upload)
    assert "GetObject" in trace.details(taken)
    await turn("on")
    trace = await uploaded(story, spans)
    assert trace.details(trace.one("helper", "POST /tasks", "server")) == {"PutObject", "postgresql"}


async def test_one_trace_goes_from_a_sample_to_the_phone(
    story: Story, people: People, spans: Receiver
) -> None:
    await story.register_phones()
    trace_id = secrets.token_hex(16)
    sample = {
        "equipment_id": "traced",
        "branch_id": story.branch,
        "kind": "washer",
        "recorded_at": datetime.now(UTC).isoformat(),
        "metrics": {"temperature_celsius": 60.0},
        "fault_code": "E7",
    }
    await story.services.call(
        "POST",
        "monitoring",
        "/telemetry",
        who=people.person("operator", "operator"),
        headers={"traceparent": f"00-{trace_id}-{PHONE}-01"},
        json={"samples": [sample]},
    )
    # FCM's answer for the phone, and a push service's for the browser.
    statuses = {200, 201}
    trace = await whole(spans, trace_id, FAILED, statuses)
    request = trace.one("monitoring", "POST /telemetry", "server")
    announced = trace.one("monitoring", "send equipment.fault", "producer")
    stored = trace.one("notification-faults", "process equipment.fault", "consumer")
    pushes = trace.all("notification-faults", "push equipment_fault", "internal")
    calls = trace.all("notification-faults", "POST", "client")
    assert request.parent == PHONE
    assert trace.within(announced, request)
    assert stored.parent == announced.span_id
    assert pushes
    assert all(each.parent == stored.span_id for each in pushes)
    assert {each.parent for each in calls} == {each.span_id for each in pushes}
    assert {each.attributes["http.response.status_code"] for each in calls} == statuses
    # An address may hold what it takes to ring a phone.
    assert all(each.attributes["url.full"].count("/") == 3 for each in calls)
