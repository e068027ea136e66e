"""The upper bound of reading: fetch, decode and model in as many processes, without a broker."""

import asyncio
import functools
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from laundry.paths import PROJECT
from laundry_lab.bench.pictures import Pictures
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_servers.s3 import s3_client

ROUNDS = 16
# Photos that are being read at an interrupt are finished first, so there are few.
PHOTOS = 5
STAGES = ("fetch", "check", "decode", "model")


@dataclass(frozen=True)
class Bare:
    """The minimum cost of reading.

    Attributes:
        rate: photos a second of all processes together.
        stages_ms: processor time of each stage of one photo, which other work on the machine hardly changes.
    """

    rate: float
    stages_ms: Mapping[str, float]

    @property
    def processor_ms(self) -> float:
        """Processor time of one photo."""
        return sum(self.stages_ms.values())


async def measure(stage: Stage, pictures: Pictures, processes: int) -> Bare:
    """Read photos that lie in the stack's own object store, each process for itself."""
    model = model_file()
    rounds = stage.many(ROUNDS, least=2)
    advance = stage.say(f"bare loop, {pictures.kind.name}", rounds * processes)
    loop = asyncio.get_running_loop()
    store = stage.document["s3"]
    # Not forked: a fork would carry this process's threads' locks with it.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        async with stored(store, pictures) as keys:
            # Each loads its model.
            await asyncio.gather(
                *(loop.run_in_executor(pool, read, model, store, keys) for _ in range(2 * processes))
            )
            used = dict.fromkeys(STAGES, 0.0)
            began = time.perf_counter()

            async def lane() -> None:
                for _ in range(rounds):
                    for name, seconds in (await loop.run_in_executor(pool, read, model, store, keys)).items():
                        used[name] += seconds
                    advance(1)

            await asyncio.gather(*(lane() for _ in range(processes)))
            seconds = time.perf_counter() - began
    number = processes * rounds * PHOTOS
    return Bare(number / seconds, {name: 1000 * spent / number for name, spent in used.items()})


@asynccontextmanager
async def stored(store: Mapping[str, str], pictures: Pictures) -> AsyncIterator[list[str]]:
    """Store photos for the duration of the block. Yields their keys."""
    folder = f"bench/bare-{secrets.token_hex(4)}"
    keys = [f"{folder}/{pictures.kind.bytes}-{number}.jpg" for number in range(PHOTOS)]
    try:
        await asyncio.to_thread(_put, store, {key: pictures.photo() for key in keys})
        yield keys
    finally:
        await asyncio.to_thread(_delete, store, keys)


def read(model: Path, store: Mapping[str, str], keys: Sequence[str]) -> dict[str, float]:
    """Fetch and read photos as a replica does, one after another. Runs in its own process.

    Returns:
        the processor seconds of each stage.
    """
    import obstore  # noqa: PLC0415 - only the child needs it

    from laundry_reading.preprocess import decode_for_model  # noqa: PLC0415

    reader, client = _reader(model), _client(tuple(store.items()))
    used = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        used[name] += time.process_time() - began

    for key in keys:
        with timed("fetch"):
            photo = obstore.get(client, key).bytes().to_bytes()
        with timed("check"):
            hashlib.sha256(photo).hexdigest()
        with timed("decode"):
            pixels = decode_for_model(photo, reader.input_size)
        with timed("model"):
            seen = reader.predict_all(pixels[None])
            reading = reader.interpret(seen.probs[0], float(seen.known[0]), float(seen.several[0]))
        if reading.multiple:
            with timed("decode"):
                larger = decode_for_model(photo, 2 * reader.input_size)
            with timed("model"):
                reader.look_closer(reading, larger)
    return used


@functools.cache
def _reader(model: Path) -> Any:
    from laundry_reading.model import Model  # noqa: PLC0415

    return Model.load(model)


def read_one(model: Path, photo: bytes) -> Any:
    """Read one photo as a replica does. Runs in a process of its own."""
    return _reader(model).read(photo)


@functools.cache
def _client(store: tuple[tuple[str, str], ...]) -> Any:
    from obstore.store import S3Store  # noqa: PLC0415

    given = dict(store)
    return S3Store(
        given["bucket"],
        endpoint=given["endpoint_url"],
        access_key_id=given["access_key"],
        secret_access_key=given["secret_key"],
        region="us-east-1",
        client_options={"allow_http": True},
    )


def boto_client(store: Mapping[str, str], **options: Any) -> Any:
    """Return a boto3 client of the stack's object store."""
    options = {"read_timeout": 20, "signature_version": "s3v4", **options}
    return s3_client(store["endpoint_url"], store["access_key"], store["secret_key"], **options)


def _put(store: Mapping[str, str], photos: Mapping[str, bytes]) -> None:
    client = boto_client(store)
    for key, photo in photos.items():
        client.put_object(Bucket=store["bucket"], Key=key, Body=photo, ContentType="image/jpeg")


def _delete(store: Mapping[str, str], keys: Sequence[str]) -> None:
    client = boto_client(store)
    for key in keys:
        client.delete_object(Bucket=store["bucket"], Key=key)


def model_file() -> Path:
    """Return the shipped model. Raises NotMeasured."""
    found = sorted((PROJECT / "models").glob("*.onnx"))
    if not found:
        raise NotMeasured(f"bare reading: no model in {PROJECT / 'models'}")
    return found[-1]
