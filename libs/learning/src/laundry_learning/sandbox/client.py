"""Asks a confined worker to read photos and models: it holds nothing worth stealing, and may crash."""

import asyncio
import contextlib
import json
import math
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import structlog

from laundry_learning.features import PhotoFeatures, SeenPhoto
from laundry_learning.head import Head
from laundry_learning.sandbox.launcher import ConfinedProcess, Sandbox
from laundry_learning.sandbox.worker import ANSWER, CHANCES, EDGE, LENGTH, REFUSAL, SHAPE, SIZE

HASH_BYTES = 32
FEATURES_MOST = 16_384
REASON_MOST = 2000
PHOTO_S, MODEL_S, COST_S = 60.0, 120.0, 300.0
MOST_CRASHES = 20
"""A run is given up when so many of its photos have crashed the worker."""

log = structlog.get_logger(__name__)


class Unreadable(Exception):
    """A photo or model cannot be read, or crashed the worker; the text says why."""


class TooManyCrashes(Exception):
    """Photo after photo crashes the worker: something else is wrong."""


class SandboxClient:
    """``async with SandboxClient(sandbox) as reader:``; one request at a time, in the order of asking."""

    def __init__(self, sandbox: Sandbox, model: bytes | None = None) -> None:
        """Take the sandbox, and the model with which photos are read."""
        self._sandbox = sandbox
        self._model = model
        self._process: ConfinedProcess | None = None
        self._turn = asyncio.Lock()
        self._crashes = 0
        self._width: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def features(self, photo: bytes) -> PhotoFeatures:
        """Do what ``PhotoReader.features`` does, in the sandbox."""
        return self._features(await self._ask("F", photo, PHOTO_S, most=HASH_BYTES + 2 * FEATURES_MOST))

    async def everything(self, photo: bytes) -> SeenPhoto:
        """Do what ``PhotoReader.everything`` does, in the sandbox."""
        most = CHANCES.size + HASH_BYTES + 2 * FEATURES_MOST
        answer = await self._ask("S", photo, PHOTO_S, most=most)
        if len(answer) < CHANCES.size:
            raise Unreadable("what was seen has no chances")
        known, several = CHANCES.unpack_from(answer)
        if not all(0 <= chance <= 1 for chance in (known, several)):
            raise Unreadable("what was seen are no chances")
        return SeenPhoto(self._features(answer[CHANCES.size :]), known, several)

    def _features(self, answer: bytes) -> PhotoFeatures:
        likeness, seen = answer[:HASH_BYTES], answer[HASH_BYTES:]
        width = self._width or len(seen)
        if not seen or len(seen) % 2 or len(seen) != width:
            raise Unreadable("what was seen has another shape than of the photos before")
        if not np.isfinite(np.frombuffer(seen, dtype=np.float16)).all():
            raise Unreadable("what was seen are no numbers")
        self._width = width
        return PhotoFeatures(seen, likeness)

    async def pixels(self, photo: bytes, edge: int) -> npt.NDArray[np.uint8]:
        """Do what ``PhotoReader.pixels`` does, in the sandbox."""
        bytes_ = edge * edge * 3
        answer = await self._ask("P", EDGE.pack(edge) + photo, PHOTO_S, most=bytes_)
        if len(answer) != bytes_:
            raise Unreadable("the pixels are no square")
        return np.frombuffer(answer, dtype=np.uint8).reshape(edge, edge, 3)

    async def try_model(self) -> None:
        """Load the model and try it once, as a replica would. Raises Unreadable."""
        async with self._turn:
            await self._ready()

    async def costs(self, champion: bytes, challenger: bytes) -> tuple[float, float]:
        """Measure both models: processor time of one photo in milliseconds. Raises Unreadable."""
        content = SIZE.pack(len(champion)) + champion + challenger
        answer = await self._ask("C", content, COST_S, most=1000)
        try:
            first, second = (float(each) for each in json.loads(answer))
        except (ValueError, TypeError) as error:
            raise Unreadable("the costs are no numbers") from error
        if not all(math.isfinite(each) and each > 0 for each in (first, second)):
            raise Unreadable("the costs are no times")
        return first, second

    async def head(self, model: bytes, *, labels: int) -> Head:
        """Read the last layer of a model. Raises Unreadable."""
        answer = await self._ask("H", model, MODEL_S, most=SHAPE.size + 8 * labels * (FEATURES_MOST + 1))
        rows, width = SHAPE.unpack_from(answer) if len(answer) >= SHAPE.size else (0, 0)
        numbers = np.frombuffer(answer[SHAPE.size :][: 8 * rows * (width + 1)], dtype=np.float64)
        if rows != labels or not width or len(answer) != SHAPE.size + 8 * rows * (width + 1):
            raise Unreadable("the last layer has another shape")
        if not np.isfinite(numbers).all():
            raise Unreadable("the last layer is no numbers")
        return Head(numbers[: rows * width].reshape(rows, width), numbers[rows * width :])

    async def _ask(self, kind: str, content: bytes, seconds: float, *, most: int) -> bytes:
        async with self._turn:
            await self._ready()
            return await self._exchange(kind, content, seconds, most)

    async def _ready(self) -> None:
        if self._process is not None:
            return
        self._process = await self._sandbox.start_worker()
        if self._model is not None:
            await self._exchange("M", self._model, MODEL_S, 0)

    async def _exchange(self, kind: str, content: bytes, seconds: float, most: int) -> bytes:
        assert self._process is not None
        source, out = self._process.source, self._process.out
        try:
            async with asyncio.timeout(seconds):
                out.write(LENGTH.pack(len(content), ord(kind)) + content)
                await out.drain()
                length, said = LENGTH.unpack(await source.readexactly(LENGTH.size))
                # What is too long is not read.
                answer = await source.readexactly(length) if length <= max(most, REASON_MOST) else None
        except (OSError, TimeoutError, EOFError) as error:
            await self._end()
            # With its container gone, nothing is wrong with what it was asked.
            await self._sandbox.check()
            self._crashes += 1
            log.warning("who looks at photos is gone", asked=kind, error=f"{type(error).__name__}: {error}")
            if self._crashes >= MOST_CRASHES:
                raise TooManyCrashes(
                    f"{self._crashes} photos ended the process that looks at them"
                ) from error
            raise Unreadable("it ended the process that looked at it, or took too long") from error
        except BaseException:
            # Cancelled in the middle: the next answer would be to this question.
            await self._end()
            raise
        if answer is None or said not in (ANSWER, REFUSAL):
            await self._end()
            raise Unreadable("who looked at it answered what nobody asked")
        if said == REFUSAL:
            raise Unreadable(answer.decode(errors="replace"))
        return answer

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                await process.end()
