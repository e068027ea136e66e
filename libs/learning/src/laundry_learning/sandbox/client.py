"""Has photos looked at, by a process that holds nothing worth stealing and may die of one."""

import asyncio
import contextlib
import json
import math
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import structlog

from laundry_learning.features import PhotoFeatures
from laundry_learning.head import Head
from laundry_learning.sandbox.launcher import Shut, Starter
from laundry_learning.sandbox.worker import ANSWER, EDGE, LENGTH, REFUSAL, SHAPE, SIZE

HASH_BYTES = 32
FEATURES_MOST = 16_384
REASON_MOST = 2000
LOOK_S, MODEL_S, COST_S = 60.0, 120.0, 300.0
MOST_DEATHS = 20
"""So many photos of a run may kill who looks at them before the run is given up."""

log = structlog.get_logger(__name__)


class Unseen(Exception):
    """It cannot be looked at, or what looks at it died of it; the text says why."""


class TooManyDeaths(Exception):
    """Photo after photo ends the process that looks at them: something else is wrong."""


class Looks(Protocol):
    """Looks at photos."""

    async def features(self, photo: bytes) -> PhotoFeatures:
        """What the model sees of a photo. Raises Unseen."""

    async def pixels(self, photo: bytes, edge: int) -> npt.NDArray[np.uint8]:
        """A photo as a square [edge, edge, 3]. Raises Unseen."""


class Looker:
    """``async with Looker(starter) as looker:``; one thing at a time, in the order of asking."""

    def __init__(self, starter: Starter, model: bytes | None = None) -> None:
        """Take who starts the process, and the model by which it sees."""
        self._starter = starter
        self._model = model
        self._process: Shut | None = None
        self._turn = asyncio.Lock()
        self._deaths = 0
        self._width: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def features(self, photo: bytes) -> PhotoFeatures:
        """As ``Looks.features``."""
        answer = await self._ask("F", photo, LOOK_S, most=HASH_BYTES + 2 * FEATURES_MOST)
        likeness, seen = answer[:HASH_BYTES], answer[HASH_BYTES:]
        width = self._width or len(seen)
        if not seen or len(seen) % 2 or len(seen) != width:
            raise Unseen("what was seen has another shape than of the photos before")
        if not np.isfinite(np.frombuffer(seen, dtype=np.float16)).all():
            raise Unseen("what was seen are no numbers")
        self._width = width
        return PhotoFeatures(seen, likeness)

    async def pixels(self, photo: bytes, edge: int) -> npt.NDArray[np.uint8]:
        """As ``Looks.pixels``."""
        bytes_ = edge * edge * 3
        answer = await self._ask("P", EDGE.pack(edge) + photo, LOOK_S, most=bytes_)
        if len(answer) != bytes_:
            raise Unseen("the pixels are no square")
        return np.frombuffer(answer, dtype=np.uint8).reshape(edge, edge, 3)

    async def try_model(self) -> None:
        """Load the model and try it once, as a replica would. Raises Unseen."""
        async with self._turn:
            await self._ready()

    async def costs(self, champion: bytes, challenger: bytes) -> tuple[float, float]:
        """Measure both models: processor time of one photo in milliseconds. Raises Unseen."""
        content = SIZE.pack(len(champion)) + champion + challenger
        answer = await self._ask("C", content, COST_S, most=1000)
        try:
            first, second = (float(each) for each in json.loads(answer))
        except (ValueError, TypeError) as error:
            raise Unseen("the costs are no numbers") from error
        if not all(math.isfinite(each) and each > 0 for each in (first, second)):
            raise Unseen("the costs are no times")
        return first, second

    async def head(self, model: bytes, *, labels: int) -> Head:
        """Read the last layer of a model. Raises Unseen."""
        answer = await self._ask("H", model, MODEL_S, most=SHAPE.size + 8 * labels * (FEATURES_MOST + 1))
        rows, width = SHAPE.unpack_from(answer) if len(answer) >= SHAPE.size else (0, 0)
        numbers = np.frombuffer(answer[SHAPE.size :][: 8 * rows * (width + 1)], dtype=np.float64)
        if rows != labels or not width or len(answer) != SHAPE.size + 8 * rows * (width + 1):
            raise Unseen("the last layer has another shape")
        if not np.isfinite(numbers).all():
            raise Unseen("the last layer is no numbers")
        return Head(numbers[: rows * width].reshape(rows, width), numbers[rows * width :])

    async def _ask(self, kind: str, content: bytes, seconds: float, *, most: int) -> bytes:
        async with self._turn:
            await self._ready()
            return await self._exchange(kind, content, seconds, most)

    async def _ready(self) -> None:
        if self._process is not None:
            return
        self._process = await self._starter.look()
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
            self._deaths += 1
            log.warning("who looks at photos is gone", asked=kind, error=f"{type(error).__name__}: {error}")
            if self._deaths >= MOST_DEATHS:
                raise TooManyDeaths(f"{self._deaths} photos ended the process that looks at them") from error
            raise Unseen("it ended the process that looked at it, or took too long") from error
        except BaseException:
            # Cancelled in the middle: the next answer would be to this question.
            await self._end()
            raise
        if answer is None or said not in (ANSWER, REFUSAL):
            await self._end()
            raise Unseen("who looked at it answered what nobody asked")
        if said == REFUSAL:
            raise Unseen(answer.decode(errors="replace"))
        return answer

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                await process.end()
