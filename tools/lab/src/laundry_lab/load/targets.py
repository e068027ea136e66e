"""What a load is sent to: the helper over HTTP, photo by photo or in batches, or the broker itself."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from laundry.demo.photos import JPEG_COMMENT, UNIQUE_BYTES
from laundry_events import Publisher
from laundry_events.errors import PublishError
from laundry_lab.bench.pictures import LARGE, PHONE, SMALL, Pictures
from laundry_lab.bench.timed_event import timed_event
from laundry_lab.load.arrivals import OK, Send
from laundry_lab.sender import SEND_ERRORS, Answer, sender_to

KINDS = {"small": SMALL, "phone": PHONE, "large": LARGE}
CREATED, MULTI_STATUS = 201, 207


@dataclass
class Accepted:
    """What was promised: the id of each task, or confirmed event, and the number of its request."""

    ids: list[str] = field(default_factory=list)
    request: list[int] = field(default_factory=list)
    refused: int = 0

    def add(self, created: str, number: int) -> None:
        """Note what a request created."""
        self.ids.append(created)
        self.request.append(number)


def drawn_photos(kind: str, seed: int) -> list[bytes]:
    """Draw the photos of a run; equal seeds draw them in the same order."""
    pictures = Pictures(KINDS[kind])
    photos = [pictures.photo() for _ in range(pictures.kind.drawn)]
    random.Random(seed).shuffle(photos)  # noqa: S311 - load, not secrets
    return photos


def marked(photo: bytes, mark: int) -> bytes:
    """Return the same picture in other bytes: a photo that a helper has sent before makes no new task."""
    comment = mark.to_bytes(UNIQUE_BYTES)
    return photo[:2] + JPEG_COMMENT + (len(comment) + 2).to_bytes(2) + comment + photo[2:]


@asynccontextmanager
async def uploads(order: dict[str, Any], accepted: Accepted) -> AsyncIterator[Send]:
    """Send photos to the helper's ``POST /tasks``, or ``batch`` of them to ``POST /tasks/batch``."""
    photos = await asyncio.to_thread(drawn_photos, order["photo"], order["seed"])
    run, batch, total = secrets.randbits(64), order["batch"], order["photos"]
    headers = {"Authorization": order["authorization"]}
    boundary = secrets.token_hex(16)
    headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
    head = _text(boundary, "branch_id", order["branch"])
    end = f"--{boundary}--\r\n".encode()

    def photo(number: int) -> bytes:
        return marked(photos[number % len(photos)], (run << 64) + number)

    async with sender_to(order["url"], connections=order["at_once"]) as sender:

        async def single(number: int) -> str:
            body = head + _file(boundary, photo(number)) + end
            key = {**headers, "Idempotency-Key": f"load-{run:x}-{number}"}
            answer = await sender.post("/tasks", body, key)
            if answer.status != CREATED:
                return _refusal(answer)
            accepted.add(answer.json()["id"], number)
            return OK

        async def several(number: int) -> str:
            numbers = range(number * batch, min((number + 1) * batch, total))
            parts = (
                _text(boundary, "key", f"load-{run:x}-{each}") + _file(boundary, photo(each))
                for each in numbers
            )
            body = head + b"".join(parts) + end
            answer = await sender.post("/tasks/batch", body, headers)
            if answer.status != MULTI_STATUS:
                return _refusal(answer)
            refused = ""
            for item in answer.json()["items"]:
                if item["status"] == CREATED:
                    accepted.add(item["task"]["id"], number)
                else:
                    accepted.refused += 1
                    refused = refused or f"{item['status']} {item['problem']['code']} in a batch"
            return refused or OK

        send = single if batch == 1 else several

        async def safely(number: int, _: float) -> str:
            try:
                return await send(number)
            except (*SEND_ERRORS, ValueError, KeyError) as error:
                return type(error).__name__

        yield safely


@asynccontextmanager
async def publishes(order: dict[str, Any], accepted: Accepted) -> AsyncIterator[Send]:
    """Publish events of 1 KB onto a queue, each confirmed; a batch is that many in flight at once.

    Each event says when it was due, which its consumer compares with the same clock.
    """
    publisher = Publisher(order["amqp_url"], source="load")
    batch, total = order["batch"], order["photos"]
    await publisher.wait_connected()

    async def send(number: int, due: float) -> str:
        size = min(batch, total - number * batch)
        confirms = (publisher.publish(timed_event(order["bytes"], round(due * 1e9))) for _ in range(size))
        failed = ""
        for each in await asyncio.gather(*confirms, return_exceptions=True):
            if isinstance(each, str):
                accepted.add(each, number)
            elif isinstance(each, PublishError):
                failed = failed or type(each).__name__
            else:
                raise each
        return failed or OK

    try:
        yield send
    finally:
        await publisher.stop()


def _text(boundary: str, name: str, value: str) -> bytes:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def _file(boundary: str, photo: bytes) -> bytes:
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="load.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + photo + b"\r\n"


def _refusal(answer: Answer) -> str:
    """Name an unexpected answer by its status and its problem's code."""
    try:
        code = str(answer.json()["code"])
    except (ValueError, KeyError, TypeError):
        code = ""
    return f"{answer.status} {code}".strip()
