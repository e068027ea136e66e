"""Processes for photos and models that strangers made: what they reach, and what they may answer."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import psutil
import pytest
import pytest_asyncio
from PIL import Image

from laundry_learning.features import SeenPhoto
from laundry_learning.graph import read_head
from laundry_learning.sandbox import client, launcher
from laundry_learning.sandbox.client import SandboxClient, TooManyCrashes, Unreadable
from laundry_learning.sandbox.environment import environment
from laundry_learning.sandbox.launcher import (
    ConfinedProcess,
    LocalSandbox,
    Sandbox,
    SandboxGone,
    SidecarSandbox,
)
from laundry_learning.sandbox.worker import ANSWER, CHANCES, LENGTH
from laundry_reading.preprocess import decode_for_model
from laundry_testing.models import LABELS, colour_model, photo_of
from laundry_testing.sandboxes import ALLOWED, SECRETS, beside

MODEL = colour_model("1")
PHOTO = photo_of("pants", size=(40, 40), seed=1)


@pytest_asyncio.fixture(params=["here", "beside"])
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Both ways to start: beside this process, and by the server in another container."""
    if request.param == "here":
        yield LocalSandbox()
        return
    async with beside(tmp_path) as started:
        yield started


async def test_a_container_that_has_ended_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "GONE_S", 0.1)
    async with beside(tmp_path) as sandbox:
        pass
    with pytest.raises(SandboxGone, match="gone"):
        await asyncio.wait_for(sandbox.start_worker(), 10)


async def held(folder: Path) -> tuple[asyncio.subprocess.Process, SidecarSandbox]:
    path = folder / "sandbox.sock"
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "laundry_learning.sandbox.server", str(path)
    )
    sandbox = SidecarSandbox(path)
    await sandbox.hold()
    return server, sandbox


@pytest.mark.parametrize("asked", ["a photo", "a model"])
async def test_a_container_that_ends_in_the_middle_is_no_fault_of_what_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(launcher, "GONE_S", 0.1)
    server, sandbox = await held(tmp_path)
    async with SandboxClient(sandbox, MODEL) as reader:
        await reader.try_model()
        # All of a container's processes end with its first, such as when they need too much memory.
        server.kill()
        await server.wait()
        with pytest.raises(SandboxGone):
            await (reader.features(PHOTO) if asked == "a photo" else reader.head(MODEL, labels=len(LABELS)))


@pytest.mark.parametrize("who", ["looks", "client"])
async def test_a_container_ends_with_what_the_kernel_kills_in_it_and_with_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setattr(launcher, "GONE_S", 0.1)
    server, sandbox = await held(tmp_path)
    async with SandboxClient(sandbox, MODEL) as reader:
        await reader.try_model()
        if who == "looks":
            [worker] = psutil.Process(server.pid).children()
            worker.kill()
            assert await asyncio.wait_for(server.wait(), 20) == 128 + signal.SIGKILL
            with pytest.raises(SandboxGone):
                await reader.features(PHOTO)
            return
    # The worker is ended here, and the next one works.
    async with SandboxClient(sandbox, MODEL) as reader:
        assert (await reader.features(PHOTO)).features
    assert server.returncode is None
    server.kill()
    await server.wait()


async def test_a_container_that_ends_as_it_is_asked_is_told_as_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "sandbox.sock", asyncio.open_unix_connection

    async def too_late(*place: Any, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        source, out = await connect(*place, **options)
        await source.read()
        return source, out

    monkeypatch.setattr(asyncio, "open_unix_connection", too_late)
    async with await asyncio.start_unix_server(lambda _, out: out.transport.abort(), path):
        with pytest.raises(SandboxGone, match="Connection lost"):
            await SidecarSandbox(path).start_worker()


async def test_who_looks_at_photos_has_no_secret_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    confined = await LocalSandbox().start_worker()
    process = confined.process
    assert process is not None
    try:
        # Behind ``enter`` the program is another one, in the same process.
        def environment() -> set[str]:
            raw = Path(f"/proc/{process.pid}/environ").read_bytes()
            return {each.partition(b"=")[0].decode() for each in raw.split(b"\0") if each}

        assert environment() <= ALLOWED
    finally:
        await confined.end()
    assert process.returncode == -signal.SIGKILL


async def test_a_phones_heic_and_a_large_png_are_seen_behind_the_doors(sandbox: Sandbox) -> None:
    pillow_heif.register_heif_opener()
    picture = Image.new("RGB", (320, 240), (90, 120, 200))
    large = Image.new("L", (6500, 5000), 90)
    async with SandboxClient(sandbox) as reader:
        for image, kind, options in (
            (picture, "HEIF", {}),
            (picture, "AVIF", {}),
            (large, "PNG", {"compress_level": 1}),
        ):
            file = io.BytesIO()
            image.save(file, kind, **options)
            pixels = await reader.pixels(file.getvalue(), 32)
            assert np.abs(pixels.astype(int) - (90 if kind == "PNG" else [90, 120, 200])).max() < 6


async def test_photos_are_seen_as_a_replica_sees_them(sandbox: Sandbox) -> None:
    model = colour_model("m-1")
    async with SandboxClient(sandbox, model) as reader:
        seen = await reader.features(PHOTO)
        everything = await reader.everything(PHOTO)
        pixels = await reader.pixels(PHOTO, 160)
        head = await reader.head(model, labels=len(LABELS))
        first, second = await reader.costs(model, model)
        with pytest.raises(Unreadable, match="not an image"):
            await reader.features(b"not a photo")
        # It goes on after one that it refused.
        assert (await reader.features(PHOTO)) == seen
    assert np.array_equal(pixels, decode_for_model(PHOTO, 160))
    assert (len(seen.picture_hash), len(seen.features)) == (32, 2 * 3)
    assert everything == SeenPhoto(seen, known=1.0, several=0.0)
    own = read_head(model)
    assert np.allclose(head.weights, own.weights)
    assert np.allclose(head.bias, own.bias)
    assert first > 0 < second


async def test_a_photo_that_kills_who_looks_at_it_is_left_out_and_the_next_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fragile(LocalSandbox):
        deaths = 0

        async def start_worker(self) -> Any:
            confined = await super().start_worker()
            if self.deaths:
                self.deaths -= 1
                assert confined.process is not None
                os.kill(confined.process.pid, signal.SIGKILL)
            return confined

    fragile = Fragile()
    fragile.deaths = 1
    async with SandboxClient(fragile) as reader:
        with pytest.raises(Unreadable, match="ended the process"):
            await reader.pixels(PHOTO, 32)
        assert (await reader.pixels(PHOTO, 32)).shape == (32, 32, 3)
    monkeypatch.setattr(client, "MOST_CRASHES", 3)
    fragile.deaths = 9
    async with SandboxClient(fragile) as reader:
        for _ in range(2):
            with pytest.raises(Unreadable):
                await reader.pixels(PHOTO, 32)
        with pytest.raises(TooManyCrashes):
            await reader.pixels(PHOTO, 32)


def chances(known: float, several: float, rest: bytes = b"\0" * 34) -> bytes:
    content = CHANCES.pack(known, several) + rest
    return LENGTH.pack(len(content), ANSWER) + content


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff\x7f.",
        b"\x02\x00\x00\x00?hm",
        b"\x24\x00\x00\x00." + b"\0" * 32 + b"\x00\x7e\x00\x7c",
        b"\x20\x00\x00\x00." + b"\0" * 32,
        b"\x23\x00\x00\x00." + b"\0" * 35,
    ],
    ids=["endless", "out of turn", "no numbers", "nothing", "half a number"],
)
async def test_an_answer_that_is_none_is_not_believed(answer: bytes) -> None:
    async with SandboxClient(liar(answer)) as reader:
        with pytest.raises(Unreadable):
            await reader.features(PHOTO)


@pytest.mark.parametrize(
    "answer",
    [
        chances(1.5, 0),
        chances(0, -0.1),
        chances(float("nan"), 0),
        chances(1, float("inf")),
        chances(1, 0, rest=b""),
        LENGTH.pack(3, ANSWER) + b"abc",
    ],
    ids=["more than sure", "less than none", "no number", "endless", "chances alone", "too short"],
)
async def test_chances_that_are_none_are_not_believed(answer: bytes) -> None:
    async with SandboxClient(liar(answer)) as reader:
        with pytest.raises(Unreadable):
            await reader.everything(PHOTO)
    async with SandboxClient(liar(chances(0.25, 0.5))) as reader:
        told = await reader.everything(PHOTO)
    assert (told.known, told.several) == (0.25, 0.5)


def liar(answer: bytes) -> Sandbox:
    """A sandbox whose worker answers this, whatever it is asked."""

    class Liar(LocalSandbox):
        async def start_worker(self) -> ConfinedProcess:
            code = (
                f"import sys; sys.stdin.buffer.read(6); sys.stdout.buffer.write({answer!r}); "
                "sys.stdout.flush(); sys.stdin.buffer.read()"
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            assert process.stdout is not None
            assert process.stdin is not None
            return ConfinedProcess(process.stdout, process.stdin, process)

    return Liar()


def test_the_trainer_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNDRY_DATABASE_URL", "postgresql://secret")
    found = environment(3)
    assert set(found) <= {*os.environ, "PYTHONUNBUFFERED", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    assert not [name for name in found if name.startswith("LAUNDRY")]
    assert found["OMP_NUM_THREADS"] == "3"
