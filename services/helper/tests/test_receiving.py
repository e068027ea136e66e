"""An upload may be slow, but it may not stall."""

import asyncio
import time
from collections.abc import Callable

import pytest
import pytest_asyncio
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message

from helper.api.uploads import Limits, receive_form
from laundry_service.http.problems import Problem

BODY = (
    b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="p.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\n" + b"x" * 2000 + b"\r\n--edge--\r\n"
)
STEPS = 12


class HeldClock:
    """The loop's clock, in which time passes only as a test says: a busy machine's own does not count."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    async def passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + 0.05, until)
            # The first lets the loop see which timeouts are over, the second lets them end the task.
            await asyncio.sleep(0)
            await asyncio.sleep(0)


@pytest_asyncio.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    held = HeldClock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: held.now)
    return held


def arriving(clock: HeldClock, pause_s: Callable[[int], float]) -> Request:
    """Make a request whose body comes in steps, each after a pause."""
    size = -(-len(BODY) // STEPS)
    steps = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    sent = 0

    async def receive() -> Message:
        nonlocal sent
        await clock.passes(pause_s(sent))
        sent += 1
        return {"type": "http.request", "body": steps[sent - 1], "more_body": sent < len(steps)}

    headers = [(b"content-type", b"multipart/form-data; boundary=edge")]
    return Request({"type": "http", "method": "POST", "path": "/tasks", "headers": headers}, receive)


async def test_a_slow_upload_that_keeps_coming_is_taken_however_long_it_lasts(
    clock: HeldClock,
) -> None:
    limits = Limits(photo_bytes=10_000, idle_s=3.0, total_s=60)
    form = await receive_form(arriving(clock, lambda _: 0.3), limits)
    photo = form["photo"]
    assert isinstance(photo, UploadFile)
    assert await photo.read() == b"x" * 2000
    await form.close()


@pytest.mark.parametrize("step", [0, 1, STEPS - 1])
async def test_an_upload_that_stalls_is_given_up(step: int, clock: HeldClock) -> None:
    limits = Limits(photo_bytes=10_000, idle_s=0.2, total_s=30)
    with pytest.raises(Problem) as refused:
        await receive_form(arriving(clock, lambda at: 3600 if at == step else 0), limits)
    assert (refused.value.status, refused.value.code) == (408, "upload-stalled")


async def test_an_upload_has_an_end_however_steady_it_is(clock: HeldClock) -> None:
    limits = Limits(photo_bytes=10_000, idle_s=0.2, total_s=0.3)
    with pytest.raises(Problem) as refused:
        await receive_form(arriving(clock, lambda _: 0.1), limits)
    assert (refused.value.status, refused.value.code) == (408, "upload-too-slow")
