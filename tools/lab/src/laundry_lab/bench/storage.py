"""What storing and fetching a photo costs a service, through obstore and through what else it could use."""

import asyncio
import functools
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from statistics import median
from typing import Any

import psutil

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.stage import Stage

SIZES = {"20 KB": 20_000, "500 KB": 500_000, "2 MB": 2_000_000}
ROUNDS = 5
OBJECTS = 20
AT_ONCE = 4
GROUP = "Object store (processor time of one object)"
MEDIA_TYPE = "image/jpeg"
RUNNER = asyncio.Runner()

Call = Callable[..., Awaitable[Any]]
Store = tuple[tuple[str, str], ...]


async def measure(stage: Stage) -> list[Figure]:
    """Let each client store and fetch the same photos, in turns, each in a process of its own."""
    store: Store = tuple(sorted(stage.document["s3"].items()))
    rounds = stage.many(ROUNDS, least=2)
    advance = stage.say("object store", rounds * len(SIZES) * len(CLIENTS))
    loop = asyncio.get_running_loop()
    folder = f"bench/storage-{secrets.token_hex(4)}"
    spent: dict[tuple[str, str, str], list[float]] = {}
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            for name in CLIENTS
        }
        memory = {
            name: await loop.run_in_executor(pool, added_mb, name, store, folder)
            for name, pool in pools.items()
        }
        for size, number in SIZES.items():
            for _ in range(rounds):
                for name in random.sample(list(pools), len(pools)):
                    found = await loop.run_in_executor(pools[name], transfer, name, store, folder, number)
                    for action, used_ms in found.items():
                        spent.setdefault((size, action, name), []).append(used_ms)
                    advance(1)
        await loop.run_in_executor(pools["obstore"], clear, store, folder)
    times = [
        Figure(
            GROUP, f"{action} {size}, {name}", median(used), "ms", note=f"{min(used):.2f} to {max(used):.2f}"
        )
        for (size, action, name), used in spent.items()
    ]
    return [*times, *(Figure(GROUP, f"memory, {name}", mb, "MB") for name, mb in memory.items())]


def added_mb(name: str, store: Store, folder: str) -> float:
    """Return what a client adds to this process's own memory (USS), MB, once it has been used."""
    from laundry_service import settings  # noqa: F401, PLC0415 - a service has these anyway

    before = psutil.Process().memory_full_info().uss
    transfer(name, store, folder, SIZES["500 KB"])
    return float(psutil.Process().memory_full_info().uss - before) / 1e6


def transfer(name: str, store: Store, folder: str, size: int) -> dict[str, float]:
    """Store and fetch photos. Returns the processor time of one of each, ms."""
    put, get = _client(name, store)
    body = secrets.token_bytes(size)
    keys = [f"{folder}/{name}-{number}.jpg" for number in range(OBJECTS)]

    async def each(call: Callable[[str], Awaitable[Any]]) -> float:
        left = iter(keys)

        async def lane() -> None:
            for key in left:
                await call(key)

        began = time.process_time()
        await asyncio.gather(*(lane() for _ in range(AT_ONCE)))
        return 1000 * (time.process_time() - began) / len(keys)

    async def both() -> dict[str, float]:
        return {"PUT": await each(lambda key: put(key, body)), "GET": await each(get)}

    return RUNNER.run(both())


def clear(store: Store, folder: str) -> None:
    """Delete what was stored."""

    async def delete() -> None:
        ours = _ours(dict(store))
        for key in [key async for key, _ in ours.listing(f"{folder}/")]:
            await ours.delete(key)

    RUNNER.run(delete())


@functools.cache
def _client(name: str, store: Store) -> tuple[Call, Call]:
    return CLIENTS[name](dict(store))


def _ours(store: Mapping[str, str]) -> Any:
    from pydantic import SecretStr  # noqa: PLC0415

    from laundry_service.settings import ObjectStoreSettings  # noqa: PLC0415 - each process loads its own
    from laundry_service.storage.object_store import ObjectStore  # noqa: PLC0415

    # Checked already by the stack; what else a service must be told has nothing to do with its store.
    settings = ObjectStoreSettings.model_construct(
        s3_endpoint_url=store["endpoint_url"],
        s3_bucket=store["bucket"],
        s3_access_key=SecretStr(store["access_key"]),
        s3_secret_key=SecretStr(store["secret_key"]),
    )
    return ObjectStore(settings)


def _obstore(store: Mapping[str, str]) -> tuple[Call, Call]:
    ours = _ours(store)
    return (
        lambda key, body: ours.put(key, body, media_type=MEDIA_TYPE),
        lambda key: ours.get(key, max_bytes=10_000_000),
    )


def _signed(store: Mapping[str, str]) -> tuple[Call, Call]:
    """boto3 signs an URL and urllib3 requests it, in a thread."""
    import urllib3  # noqa: PLC0415

    from laundry_lab.bench.bare_reading import boto_client  # noqa: PLC0415

    boto, http, bucket = boto_client(store), urllib3.PoolManager(maxsize=AT_ONCE), store["bucket"]

    def request(method: str, action: str, key: str, **more: Any) -> bytes:
        parameters = {"Bucket": bucket, "Key": key}
        url = boto.generate_presigned_url(action, Params=parameters, ExpiresIn=900)
        answer = http.request(method, url, timeout=20, **more)
        if answer.status != 200:
            raise OSError(f"{method}: {answer.status}")
        return bytes(answer.data)

    return (
        lambda key, body: asyncio.to_thread(request, "PUT", "put_object", key, body=body),
        lambda key: asyncio.to_thread(request, "GET", "get_object", key),
    )


CLIENTS = {"obstore": _obstore, "signed URL and urllib3": _signed}
