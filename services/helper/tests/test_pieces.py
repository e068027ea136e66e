"""A photo that comes in pieces, because the line carries none in one."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from helper.service.pieces import FOLDER, Pieces, TooManyPieces
from laundry_reading.bare import bare
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.problems import assert_problem

from .conftest import MakeSettings, Service, picture

pytestmark = pytest.mark.servers

PIECE = 3000


async def send(service: Service, piece: bytes, offset: int, key: str = "k1", **claims: Any) -> httpx.Response:
    headers = service.identity.bearer("helper", "b1", **claims)
    return await service.http.put(
        "/tasks/uploads",
        content=piece,
        headers={**headers, "Idempotency-Key": key, "Upload-Offset": str(offset)},
    )


async def received(service: Service, key: str = "k1", **claims: Any) -> int:
    headers = {**service.identity.bearer("helper", "b1", **claims), "Idempotency-Key": key}
    return int((await service.http.get("/tasks/uploads", headers=headers)).json()["bytes"])


async def submit(service: Service, size: int, key: str | None = "k1", **fields: str) -> httpx.Response:
    headers = service.identity.bearer("helper", "b1")
    return await service.http.post(
        "/tasks",
        headers={**headers, "Idempotency-Key": key} if key else headers,
        files={"branch_id": (None, "b1"), "pieces": (None, str(size))}
        | {k: (None, v) for k, v in fields.items()},
    )


async def test_a_photo_in_pieces_becomes_one_task(alone: Service, make_settings: MakeSettings) -> None:
    photo = picture(900, 700)
    assert await received(alone) == 0
    for offset in range(0, len(photo), PIECE):
        assert_problem(await submit(alone, len(photo)), 409, "upload-pieces-missing")
        answer = await send(alone, photo[offset : offset + PIECE], offset)
        assert answer.json() == {"bytes": min(offset + PIECE, len(photo))}
        # The answer was lost, so it is sent again, and told to go on.
        problem = assert_problem(
            await send(alone, photo[offset : offset + PIECE], offset), 409, "upload-offset-wrong"
        )
        assert problem["received_bytes"] == await received(alone) == answer.json()["bytes"]
    # Nobody else has begun it.
    assert await received(alone, sub="helper-2") == 0
    task = await submit(alone, len(photo), note="third floor")
    assert (task.status_code, task.json()["photo"]["bytes"], task.json()["note"]) == (
        201,
        len(photo),
        "third floor",
    )
    shown = await alone.get(
        f"/tasks/{task.json()['id']}/photo?size=original", headers=alone.identity.bearer("operator")
    )
    assert shown.content == bare(photo)
    # Whoever lost that answer asks, hears that all has come, and gets the same task.
    assert await received(alone) == len(photo)
    again = await submit(alone, len(photo), note="third floor")
    assert (again.status_code, again.json()["id"]) == (201, task.json()["id"])
    assert again.headers["Idempotent-Replay"] == "true"
    store = ObjectStore(make_settings())
    assert [name async for name, _ in store.listing(FOLDER)] == []


async def test_what_is_no_piece_is_refused(alone: Service) -> None:
    assert_problem(await send(alone, b"", 0), 422, "piece-empty")
    assert_problem(await send(alone, b"x", 5), 409, "upload-offset-wrong")
    assert_problem(await send(alone, bytes(5 * 1024 * 1024), 0), 413, "photo-too-large")
    assert_problem(await send(alone, b"x", 30_000_000), 413, "photo-too-large")
    assert_problem(await submit(alone, 1, key=None), 422, "idempotency-key-missing")
    await send(alone, b"no photo", 0)
    assert_problem(await submit(alone, 8), 415, "photo-not-an-image")
    owner = {**alone.identity.bearer("owner", "b1"), "Idempotency-Key": "k", "Upload-Offset": "0"}
    assert (await alone.http.put("/tasks/uploads", content=b"x", headers=owner)).status_code == 403


async def test_begun_uploads_are_limited_and_deleted_in_time(make_settings: MakeSettings) -> None:
    store = ObjectStore(make_settings())
    pieces = Pieces(store, helper_bytes=10, keep=timedelta(hours=1))
    assert await pieces.add("kim", "a", 0, b"12345") == 5
    assert await pieces.add("kim", "b", 0, b"12345") == 5
    with pytest.raises(TooManyPieces):
        await pieces.add("kim", "b", 5, b"6")
    assert await pieces.add("lee", "a", 0, b"1") == 1
    assert await pieces.drop_old(datetime.now(UTC)) == 0
    assert await Pieces(store, helper_bytes=10, keep=timedelta()).drop_old(datetime.now(UTC)) == 3
    assert await pieces.received("kim", "a") == 0


class Dated(ObjectStore):
    """The real store, where some objects have been for so many hours."""

    def __init__(self, settings: Any, hours: dict[str, int]) -> None:
        super().__init__(settings)
        self._hours = hours

    async def listing(self, folder: str) -> AsyncIterator[tuple[str, datetime]]:
        async for name, stored_at in super().listing(folder):
            yield name, stored_at - timedelta(hours=self._hours.get(name, 0))


async def test_an_upload_that_goes_on_keeps_its_old_pieces(make_settings: MakeSettings) -> None:
    hours: dict[str, int] = {}
    store = Dated(make_settings(), hours)
    pieces = Pieces(store, helper_bytes=100, keep=timedelta(hours=48))
    await pieces.add("kim", "goes on", 0, b"12345")
    await pieces.add("kim", "left", 0, b"123")
    await pieces.add("kim", "left", 3, b"45")
    hours |= {name: 60 async for name, _ in store.listing(FOLDER)}
    await pieces.add("kim", "goes on", 5, b"67")
    assert await pieces.drop_old(datetime.now(UTC)) == 2
    assert await pieces.received("kim", "goes on") == 7
    assert await pieces.received("kim", "left") == 0
