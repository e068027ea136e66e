"""Photos are decoded by separate processes, which one photo may kill."""

import asyncio
import io
import os
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from helper.decoder import MOST_MADE, Decoder, DecoderBusy
from laundry_reading.photo import MAX_BYTES, MAX_PIXELS, DamagedPhoto, PhotoInfo, TooManyPixels
from laundry_testing.messaging import eventually

from .conftest import heic, picture

LIMITS = {"max_bytes": MAX_BYTES, "max_pixels": MAX_PIXELS}


def make(**changes: float) -> Decoder:
    values = {"processes": 1, "waiting": 10, "patience_s": 30, "idle_s": 30} | changes
    return Decoder(**values)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def decoder() -> AsyncIterator[Decoder]:
    decoder = make()
    yield decoder
    await decoder.close()


def children() -> list[int]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return [
        pid
        for pid in map(int, found)
        if b"laundry_reading.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def test_it_says_what_the_check_says(decoder: Decoder) -> None:
    assert await decoder.check(heic(), **LIMITS) == PhotoInfo("image/heic", 320, 240, "heic", sure=False)
    made = await decoder.pictures(picture(640, 480))
    assert (made.display.width, made.thumbnail.width) == (640, 320)
    with pytest.raises(TooManyPixels) as caught:
        await decoder.check(heic(), max_bytes=MAX_BYTES, max_pixels=1000)
    assert caught.value.facts["max_pixels"] == 1000
    assert len(children()) == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are told by /proc")
async def test_one_that_dies_ends_one_photo(decoder: Decoder) -> None:
    await decoder.check(heic(), **LIMITS)
    (child,) = children()
    os.kill(child, signal.SIGSTOP)
    asked = asyncio.ensure_future(decoder.check(heic(), **LIMITS))
    await asyncio.sleep(0)
    os.kill(child, signal.SIGKILL)
    with pytest.raises(DamagedPhoto, match="ordinary JPEG"):
        await asked
    assert (await decoder.check(heic(), **LIMITS)).width == 320
    assert child not in children()


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def noisy() -> bytes:
    """Make a photo that is more than a pipe holds."""
    file = io.BytesIO()
    Image.effect_noise((900, 700), 100).save(file, "HEIF", quality=100)
    return file.getvalue()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are told by /proc")
@pytest.mark.parametrize("reaped", [True, False], ids=["reaped", "unnoticed"])
@pytest.mark.parametrize("photo", [heic(), noisy()], ids=["small", "big"])
async def test_one_that_died_at_rest_is_no_photos_fault(decoder: Decoder, reaped: bool, photo: bytes) -> None:
    await decoder.pictures(picture())
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    # While the event loop stands still, it is dead and nobody here knows.
    while not is_dead(child):
        time.sleep(0.01)
    if reaped:
        await eventually(lambda: child not in children(), what="the end of the decoder")
    assert (await decoder.check(photo, **LIMITS)).media_type == "image/heic"
    assert len(children()) == 1
    assert child not in children()


async def test_one_that_hangs_is_ended() -> None:
    decoder = make(patience_s=4)
    await decoder.pictures(picture())
    (child,) = children()
    os.kill(child, signal.SIGSTOP)
    with pytest.raises(DecoderBusy):
        await decoder.check(heic(), **LIMITS)
    await decoder.close()
    assert child not in children()


async def test_a_caller_who_goes_takes_its_process_along(decoder: Decoder) -> None:
    await decoder.pictures(picture())
    (child,) = children()
    os.kill(child, signal.SIGSTOP)
    asked = asyncio.ensure_future(decoder.check(heic(), **LIMITS))
    await asyncio.sleep(0.05)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert (await decoder.check(heic(), **LIMITS)).width == 320


async def test_it_knows_no_secret_of_the_service(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNDRY_S3_SECRET_KEY", "hush")
    await decoder.pictures(picture())
    (child,) = children()
    assert b"LAUNDRY" not in Path(f"/proc/{child}/environ").read_bytes()


async def test_it_takes_no_more_than_it_can_and_ends_when_unused() -> None:
    decoder = make(waiting=1, idle_s=0.2)
    asked = [asyncio.ensure_future(decoder.check(heic(), **LIMITS)) for _ in range(4)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in done] == [PhotoInfo, PhotoInfo, DecoderBusy, DecoderBusy]

    async def gone() -> bool:
        return not children()

    await eventually(gone, what="the end of an unused decoder")
    await decoder.close()


def announcing(told: bytes, *, size: int | None = None) -> str:
    """Write a decoder that a photo has taken over: it answers this, and then never stops."""
    head = struct.pack(">I", len(told) if size is None else size)
    return (
        "import sys\nwrite = sys.stdout.buffer.write\nwrite(b'\\n')\nsys.stdout.flush()\n"
        f"sys.stdin.buffer.read(4)\nwrite({head + told!r})\nwhile True: write(bytes(1 << 20))"
    )


@pytest.mark.parametrize(
    "taken_over",
    [
        announcing(b"", size=2**32 - 1),
        announcing(b'{"parts": [%d]}' % (MOST_MADE + 1)),
        announcing(b'{"parts": [%s]}' % b",".join([b"1000000"] * 17)),
        announcing(b'{"parts": [3000000000, -3000000000]}'),
        announcing(b'{"parts": ["9"]}'),
        announcing(b'{"parts": 9}'),
        announcing(b"[]"),
    ],
    ids=["long head", "long part", "many parts", "negative", "text", "no list", "no object"],
)
async def test_one_that_answers_without_end_is_ended_unheard(
    taken_over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[asyncio.subprocess.Process] = []
    begin = asyncio.create_subprocess_exec

    async def begin_another(*_: str, **options: object) -> asyncio.subprocess.Process:
        begun.append(await begin(sys.executable, "-c", taken_over, **options))  # type: ignore[arg-type]
        return begun[-1]

    decoder = make(patience_s=10)
    with monkeypatch.context() as instead:
        instead.setattr("helper.decoder.asyncio.create_subprocess_exec", begin_another)
        with pytest.raises(DamagedPhoto):
            await decoder.pictures(picture())
    assert [process.returncode for process in begun] == [-signal.SIGKILL]
    assert (await decoder.check(heic(), **LIMITS)).width == 320, "another takes its place"
    await decoder.close()
