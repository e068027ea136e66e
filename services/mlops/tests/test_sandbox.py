"""What photos and the trainer may reach, tried from inside."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import pytest_asyncio
from PIL import Image

from laundry_reading.preprocess import decode_for_model
from laundry_testing.models import LABELS, colour_model, photo_of
from mlops.full.trainer import train
from mlops.refit.graph import read_head
from mlops.runs import BeginAnew, RunError
from mlops.sandbox import landlock
from mlops.sandbox import looker as looking
from mlops.sandbox.looker import Looker, TooManyDeaths, Unseen
from mlops.sandbox.start import Beside, Here, Starter
from mlops.sandbox.surroundings import PASSED_ON

SECRETS = {
    "LAUNDRY_MODEL_SIGNING_KEY": "the-signing-key",
    "LAUNDRY_DATABASE_URL": "postgresql://mlops:secret@db/mlops",
    "LAUNDRY_AMQP_URL": "amqp://mlops:secret@broker",
    "LAUNDRY_S3_SECRET_KEY": "the-store's-key",
    "AWS_SECRET_ACCESS_KEY": "another-key",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
}
ALLOWED = {*PASSED_ON, "PYTHONUNBUFFERED", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LC_CTYPE", "PWD", "_"}
PHOTO = photo_of("pants", size=(40, 40), seed=1)
confined = pytest.mark.skipif(landlock.version() < 4, reason="this kernel has no Landlock that shuts TCP")

REACH = """
    import json, os, pathlib, signal, socket, sys
    folder, secret, port, parent = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    def tried(what):
        try:
            what()
        except OSError as error:
            return type(error).__name__
        return "reached"
    def write(path):
        pathlib.Path(path).write_text("x")
    found = {
        "environment": sorted(os.environ),
        "secret file": tried(lambda: pathlib.Path(secret).read_bytes()),
        "another's environment": tried(lambda: pathlib.Path(f"/proc/{parent}/environ").read_bytes()),
        "another's memory": tried(lambda: open(f"/proc/{parent}/mem", "rb").read(1)),
        "network": tried(lambda: socket.create_connection(("127.0.0.1", port), timeout=2).close()),
        "signals": tried(lambda: os.kill(parent, 0)),
        "writing elsewhere": tried(lambda: write(secret + ".new")),
        "writing code": tried(lambda: write(os.path.join(sys.prefix, "laundry-was-here"))),
        "writing here": tried(lambda: write(os.path.join(folder, "mine"))),
        "core": __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE)[0],
        "session": os.getsid(0) == os.getpid(),
    }
    print(json.dumps({"note": json.dumps(found)}), flush=True)
"""


@pytest.fixture
def as_trainer(tmp_path: Path) -> Callable[..., Path]:
    """Make an interpreter that runs a program in place of the trainer, with what else it is told."""

    def make(program: str, *arguments: object) -> Path:
        (tmp_path / "bin").mkdir(exist_ok=True)
        code, python = tmp_path / "bin" / "program.py", tmp_path / "bin" / "python"
        code.write_text(textwrap.dedent(program))
        words = " ".join(f'"{each}"' for each in arguments)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{code}" "$3" {words}\n')
        python.chmod(0o755)
        return python

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "runs" / "run-1"
    made.mkdir(parents=True)
    return made


@pytest_asyncio.fixture(params=["here", "beside"])
async def starter(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Starter]:
    """Both ways to start: beside this process, and by the server in another container."""
    if request.param == "here":
        yield Here()
        return
    path = tmp_path / "sandbox.sock"
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "mlops.sandbox.serve", str(path))
    beside = Beside(path)
    await beside.hold()
    yield beside
    assert beside._held is not None
    beside._held.close()
    # It ends by itself when nobody holds it any more.
    assert await asyncio.wait_for(server.wait(), 20) == 0


async def run(starter: Starter, python: Path, folder: Path, data: Path) -> list[str]:
    said: list[str] = []

    async def note(text: str) -> None:
        said.append(text)

    async def nothing(_: float) -> None:
        pass

    await train(starter, python, folder, data, threads=1, progress=nothing, note=note)
    return said


@confined
async def test_the_trainer_reaches_its_folder_and_nothing_else(
    as_trainer: Callable[..., Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "stack.json").write_text("passwords")
    with socket.create_server(("127.0.0.1", 0)) as server:
        python = as_trainer(REACH, elsewhere / "stack.json", server.getsockname()[1], os.getpid())
        (data := tmp_path / "data").mkdir()
        [said] = await run(Here(), _alone(python, tmp_path), folder, data)
    found: dict[str, Any] = json.loads(said)
    assert set(found.pop("environment")) <= ALLOWED
    assert (found.pop("core"), found.pop("session"), found.pop("writing here")) == (0, True, "reached")
    assert "reached" not in found.values(), found


def _alone(python: Path, tmp_path: Path) -> Path:
    """Put the interpreter into a tree of its own, as a virtual environment is."""
    home = tmp_path / "venv" / "bin"
    home.mkdir(parents=True)
    moved = home / "python"
    text = python.read_text().replace(str(python.parent), str(home))
    (home / "program.py").write_text((python.parent / "program.py").read_text())
    moved.write_text(text)
    moved.chmod(0o755)
    return moved


async def test_who_looks_at_photos_has_no_secret_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    shut = await Here().look()
    assert shut.process is not None
    try:
        # Behind ``enter`` the program is another one, in the same process.
        def environment() -> set[str]:
            raw = Path(f"/proc/{shut.process.pid}/environ").read_bytes()
            return {each.partition(b"=")[0].decode() for each in raw.split(b"\0") if each}

        assert environment() <= ALLOWED
    finally:
        await shut.end()
    assert shut.process.returncode == -signal.SIGKILL


async def test_a_phones_heic_and_a_large_png_are_seen_behind_the_doors(starter: Starter) -> None:
    pillow_heif.register_heif_opener()
    picture = Image.new("RGB", (320, 240), (90, 120, 200))
    large = Image.new("L", (6500, 5000), 90)
    async with Looker(starter) as looker:
        for image, kind, options in (
            (picture, "HEIF", {}),
            (picture, "AVIF", {}),
            (large, "PNG", {"compress_level": 1}),
        ):
            file = io.BytesIO()
            image.save(file, kind, **options)
            pixels = await looker.pixels(file.getvalue(), 32)
            assert np.abs(pixels.astype(int) - (90 if kind == "PNG" else [90, 120, 200])).max() < 6


async def test_photos_are_seen_as_a_replica_sees_them(starter: Starter) -> None:
    model = colour_model("m-1")
    async with Looker(starter, model) as looker:
        features, likeness = await looker.features(PHOTO)
        pixels = await looker.pixels(PHOTO, 160)
        head = await looker.head(model, labels=len(LABELS))
        first, second = await looker.costs(model, model)
        with pytest.raises(Unseen, match="not an image"):
            await looker.features(b"not a photo")
        # It goes on after one that it refused.
        assert (await looker.features(PHOTO)) == (features, likeness)
    assert np.array_equal(pixels, decode_for_model(PHOTO, 160))
    assert (len(likeness), len(features)) == (32, 2 * 3)
    own = read_head(model)
    assert np.allclose(head.weights, own.weights)
    assert np.allclose(head.bias, own.bias)
    assert first > 0 < second


async def test_a_photo_that_kills_who_looks_at_it_is_left_out_and_the_next_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fragile(Here):
        deaths = 0

        async def look(self) -> Any:
            shut = await super().look()
            if self.deaths:
                self.deaths -= 1
                assert shut.process is not None
                os.kill(shut.process.pid, signal.SIGKILL)
            return shut

    fragile = Fragile()
    fragile.deaths = 1
    async with Looker(fragile) as looker:
        with pytest.raises(Unseen, match="ended the process"):
            await looker.pixels(PHOTO, 32)
        assert (await looker.pixels(PHOTO, 32)).shape == (32, 32, 3)
    monkeypatch.setattr(looking, "MOST_DEATHS", 3)
    fragile.deaths = 9
    async with Looker(fragile) as looker:
        for _ in range(2):
            with pytest.raises(Unseen):
                await looker.pixels(PHOTO, 32)
        with pytest.raises(TooManyDeaths):
            await looker.pixels(PHOTO, 32)


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
    class Liar(Here):
        async def look(self) -> Any:
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
            return looking.Shut(process.stdout, process.stdin, process)

    async with Looker(Liar()) as looker:
        with pytest.raises(Unseen):
            await looker.features(PHOTO)


async def test_a_trainer_that_is_killed_or_fails_is_told_apart(
    starter: Starter, as_trainer: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    if isinstance(starter, Beside):
        pytest.skip("the other container has an interpreter of its own")
    python = as_trainer("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(BeginAnew, match="signal 9"):
        await run(starter, python, folder, tmp_path)
    python = as_trainer("raise OSError('disk is full')")
    with pytest.raises(RunError, match="disk is full"):
        await run(starter, python, folder, tmp_path)
    python = as_trainer("print('x' * 3_000_000)")
    with pytest.raises(RunError, match="too long"):
        await run(starter, python, folder, tmp_path)


async def test_the_trainer_of_the_other_container_says_how_it_ended(
    starter: Starter, folder: Path, tmp_path: Path
) -> None:
    if not isinstance(starter, Beside):
        pytest.skip("as above")
    # There is no order in the folder, and no torch here.
    with pytest.raises(RunError, match=r"exit code 1.*(torch|order\.json)"):
        await run(starter, Path(sys.executable), folder, tmp_path)
