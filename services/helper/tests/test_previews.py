"""A photo is read before it is submitted: an answer within two seconds or none, and nothing is kept."""

import io
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from PIL import Image

from helper.service.previews import MAX_BYTES
from laundry_events import EventConsumer, Publisher, make_broker
from laundry_events.broker_settings import MESSAGE_BYTES
from laundry_events.events import ReadLabel
from laundry_events.previews import BRANCH_HEADER, PREVIEW_QUEUE, Preview
from laundry_events.topology import PLAN
from laundry_testing.fuzzing import fuzz
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.plugin import Bucket
from laundry_testing.problems import assert_problem
from laundry_testing.s3 import client

from .conftest import Service, heic, picture
from .hostile import extents_without_bytes, long_and_narrow


async def preview(
    service: Service, photo: bytes, *, branch: str = "b1", headers: dict[str, str] | None = None
) -> httpx.Response:
    return await service.http.post(
        "/previews",
        headers=headers or service.identity.bearer("helper", "b1"),
        files={"photo": ("photo.jpg", photo)},
        data={"branch_id": branch},
    )


@asynccontextmanager
async def reading(
    messaging: Messaging, read: Callable[[bytes, str], Awaitable[bytes]]
) -> AsyncIterator[None]:
    """Answer as ai-consumer does."""
    publisher = Publisher(messaging.amqp_url, source="ai-consumer")
    await publisher.wait_connected()
    broker = make_broker(messaging.amqp_url, service="ai-consumer", graceful_timeout_s=1)
    consumer = EventConsumer(broker, publisher, PLAN, service="ai-consumer", service_version="1")

    @consumer.on_request(PREVIEW_QUEUE, prefetch=2)
    async def on_preview(photo: bytes, headers: Mapping[str, Any]) -> bytes:
        return await read(photo, str(headers[BRANCH_HEADER]))

    await broker.start()
    try:
        yield
    finally:
        await broker.stop()
        await publisher.stop()


async def answered(service: Service) -> httpx.Response:
    """Ask until the helper listens for answers, which it does shortly after its start."""

    async def once() -> httpx.Response | None:
        answer = await preview(service, picture())
        return answer if answer.status_code != 503 else None

    found: httpx.Response = await eventually(once, what="an answer")
    return found


async def test_a_photo_is_read_and_nothing_of_it_is_kept(service: Service, bucket: Bucket) -> None:
    assert service.messaging is not None
    asked: list[tuple[bytes, str]] = []
    shirt = Preview(labels=[ReadLabel(label="shirt", confidence=0.9)], needs_review=False, model_version="m1")

    async def read(photo: bytes, branch: str) -> bytes:
        asked.append((photo, branch))
        return shirt.model_dump_json().encode()

    async with reading(service.messaging, read):
        answer = await answered(service)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "labels": [{"label": "shirt", "confidence": 0.9, "count": 1}],
        "needs_review": False,
        "multiple": False,
        "model_version": "m1",
    }
    assert asked == [(picture(), "b1")]
    assert (await service.get("/tasks")).json()["items"] == []
    assert client(bucket.store).list_objects_v2(Bucket=bucket.name).get("KeyCount", 0) == 0


async def test_a_photo_of_a_phone_goes_to_the_reader_as_a_small_picture(service: Service) -> None:
    assert service.messaging is not None
    asked: list[bytes] = []
    said = Preview(needs_review=True, model_version="m1").model_dump_json().encode()

    async def read(photo: bytes, _: str) -> bytes:
        asked.append(photo)
        return said

    noise = Image.frombytes("RGB", (2000, 1500), random.Random(1).randbytes(2000 * 1500 * 3))
    file = io.BytesIO()
    noise.save(file, "JPEG", quality=85)
    assert 1_000_000 < len(file.getvalue()) < MAX_BYTES
    async with reading(service.messaging, read):
        await answered(service)
        answer = await preview(service, file.getvalue())
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(asked[-1])) as small:
        assert (small.format, small.size) == ("JPEG", (640, 480))
    assert len(asked[-1]) < MESSAGE_BYTES


async def test_what_could_cost_a_reader_more_than_it_weighs_goes_as_a_small_jpeg(service: Service) -> None:
    assert service.messaging is not None
    asked: list[bytes] = []
    said = Preview(needs_review=True, model_version="m1").model_dump_json().encode()

    async def read(photo: bytes, _: str) -> bytes:
        asked.append(photo)
        return said

    async with reading(service.messaging, read):
        await answered(service)
        large, unended = picture(4100, 3000), picture(640, 480)[:-2]
        for photo in (picture(kind="PNG"), picture(kind="WEBP"), heic(), large, unended):
            assert len(photo) < MESSAGE_BYTES
            answer = await preview(service, photo)
            assert answer.status_code == 200, answer.text
            assert asked[-1] != photo
            with Image.open(io.BytesIO(asked[-1])) as small:
                assert small.format == "JPEG"
                assert max(small.size) <= 640


async def test_every_answer_is_as_documented(service: Service) -> None:
    assert service.messaging is not None
    said = Preview(needs_review=True, model_version="m1").model_dump_json().encode()

    async def read(_: bytes, __: str) -> bytes:
        return said

    document = (await service.http.get("/openapi.json")).json()
    document["paths"] = {"/previews": document["paths"]["/previews"]}
    callers = [service.identity.bearer(role, "b1", "0", sub=f"{role}-1") for role in ("helper", "owner")]
    async with reading(service.messaging, read):
        await answered(service)
        await fuzz(str(service.http.base_url), document, callers)


async def test_without_a_reader_it_is_504_in_time(service: Service) -> None:
    answer = assert_problem(await answered(service), 504, "preview-timeout")
    assert "without a preview" in answer["detail"]


async def test_what_a_reader_cannot_read_or_says_in_other_words(service: Service) -> None:
    assert service.messaging is not None
    none = Preview(unreadable_reason="photo_damaged", needs_review=True, model_version="m1")
    answers = [b"{}", none.model_dump_json().encode()]

    async def read(_: bytes, __: str) -> bytes:
        return answers[0] if len(answers) == 1 else answers.pop(0)

    async with reading(service.messaging, read):
        assert_problem(await answered(service), 504, "preview-timeout")
        problem = assert_problem(await preview(service, picture()), 422, "photo-unreadable")
        assert problem["reason"] == "photo_damaged"


async def test_bad_input_and_a_broker_that_is_away(alone: Service) -> None:
    helper = alone.identity.bearer("helper", "b1")
    plain = await alone.http.post("/previews", headers=helper, json={"photo": 1})
    no_photo = await alone.http.post("/previews", headers=helper, files={"branch_id": (None, "b1")})
    owner = alone.identity.bearer("owner", "b1")
    for answer, status, code in [
        (await preview(alone, picture()), 503, "preview-unavailable"),
        (await preview(alone, b"%PDF-1.7"), 415, "photo-is-pdf"),
        (await preview(alone, b""), 422, "photo-empty"),
        (await preview(alone, long_and_narrow()), 422, "photo-too-many-pixels"),
        (await preview(alone, extents_without_bytes()), 422, "photo-damaged"),
        (await preview(alone, picture() + bytes(MAX_BYTES)), 413, "photo-too-large"),
        (await preview(alone, picture(), branch="B"), 422, "branch-invalid"),
        (await preview(alone, picture(), branch="b9"), 403, "branch-forbidden"),
        (await preview(alone, picture(), headers=owner), 403, "role-forbidden"),
        (plain, 415, "upload-not-multipart"),
        (no_photo, 422, "photo-missing"),
    ]:
        assert_problem(answer, status, code)
