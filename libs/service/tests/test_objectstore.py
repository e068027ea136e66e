"""What is stored is fetched as it was; a store that fails is told from an object that is not there."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.exceptions import GenericError

from laundry_service.settings import ObjectStoreSettings
from laundry_service.storage import object_store
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable, _failure
from laundry_testing.messaging import eventually
from laundry_testing.plugin import Bucket

JPEG = "image/jpeg"


def settings_for(
    endpoint_url: str, *, bucket: str = "b", key: str = "AK", secret: str = "SK"
) -> ObjectStoreSettings:
    return ObjectStoreSettings.model_validate(
        {
            "service_name": "test",
            "amqp_url": "amqp://nobody@127.0.0.1:9/",
            "jwks_url": "http://127.0.0.1:9/",
            "jwt_issuer": "nobody",
            "s3_endpoint_url": endpoint_url,
            "s3_bucket": bucket,
            "s3_access_key": key,
            "s3_secret_key": secret,
        }
    )


@pytest_asyncio.fixture
async def store(bucket: Bucket) -> AsyncIterator[ObjectStore]:
    address = bucket.store
    made = ObjectStore(
        settings_for(
            address.endpoint_url, bucket=bucket.name, key=address.access_key, secret=address.secret_key
        )
    )
    yield made


@pytest.mark.servers
async def test_bytes_and_files_come_back_as_they_were(store: ObjectStore, tmp_path: Path) -> None:
    awkward = "photos/b 1/año?&%+é.jpg"
    await store.put(awkward, b"\x00photo\xff", media_type=JPEG)
    assert await store.get(awkward, max_bytes=100) == b"\x00photo\xff"
    await store.put("empty.jpg", b"", media_type=JPEG)
    assert await store.get("empty.jpg", max_bytes=100) == b""
    big = bytes(range(256)) * 8000
    (tmp_path / "spool").write_bytes(b"head" + big)
    with (tmp_path / "spool").open("rb") as file:
        file.seek(4)
        await store.put("big/photo.jpg", file, media_type=JPEG)
        file.seek(0, io.SEEK_END)
        await store.put("end.jpg", file, media_type=JPEG)
    assert await store.get("big/photo.jpg", max_bytes=len(big)) == big
    assert await store.get("end.jpg", max_bytes=0) == b""
    assert b"".join([chunk async for chunk in await store.stream("big/photo.jpg")]) == big
    assert [key async for key, _ in store.listing("big/")] == ["big/photo.jpg"]


@pytest.mark.servers
async def test_what_is_not_there_and_what_is_too_large_are_told(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        await store.get("nothing.jpg", max_bytes=100)
    await store.put("large.jpg", b"x" * 100_000, media_type=JPEG)
    with pytest.raises(ValueError, match="has 100000 bytes; at most 99999"):
        await store.get("large.jpg", max_bytes=99_999)
    # What was left unread on the connection harms nobody who comes after.
    together = await asyncio.gather(*(store.get("large.jpg", max_bytes=100_000) for _ in range(20)))
    assert {len(each) for each in together} == {100_000}


@pytest.mark.servers
async def test_another_key_is_refused_and_no_missing_object(bucket: Bucket) -> None:
    stranger = ObjectStore(settings_for(bucket.store.endpoint_url, bucket=bucket.name))
    with pytest.raises(ObjectStoreUnavailable, match="403"):
        await stranger.get("photo.jpg", max_bytes=100)
    with pytest.raises(ObjectStoreUnavailable, match="403"):
        await stranger.put("photo.jpg", b"x", media_type=JPEG)


ANSWERS = {
    "error": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "no bucket": b"HTTP/1.1 404 Not Found\r\nContent-Length: 32\r\n\r\n<Error><Code>NoSuchBucket</Code>",
    "moved": b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
    "nothing": b"",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n",
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_a_store_that_fails_is_away_and_no_signature_is_told(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWERS[kind])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = ObjectStore(settings_for(f"http://127.0.0.1:{port}"))
    with pytest.raises(ObjectStoreUnavailable) as getting:
        await store.get("photo.jpg", max_bytes=2000)
    server.close()
    assert "X-Amz" not in f"{getting.value}{getting.value.__cause__}{caplog.text}"


async def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nthe whole",
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    store = ObjectStore(settings_for(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert await store.get("replica.json", max_bytes=2000) == b"the whole"
    server.close()


async def test_a_store_that_answers_by_a_trickle_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "GET_S", 0.3)
    given_up = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not given_up.is_set():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    store = ObjectStore(settings_for(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    with pytest.raises(ObjectStoreUnavailable, match=r"not fetched within 0\.3 s"):
        await store.get("photo.jpg", max_bytes=2000)
    given_up.set()
    server.close()


async def test_a_store_that_is_not_there_is_away() -> None:
    store = ObjectStore(settings_for("http://127.0.0.1:9"))
    for file in (b"x", io.BytesIO(b"x")):
        with pytest.raises(ObjectStoreUnavailable) as putting:
            await store.put("photo.jpg", file, media_type=JPEG)
        assert "X-Amz" not in str(putting.value)


async def test_a_slow_upload_is_no_store_that_keeps_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "READ_S", 0.2)
    length = 20_000_000

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(5):
            await reader.readexactly(length // 5)
            await asyncio.sleep(0.2)
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    store = ObjectStore(settings_for(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    await store.put("model.onnx", bytes(length), media_type="application/octet-stream")
    server.close()


async def test_a_store_that_keeps_silent_is_asked_once_more_and_then_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(object_store, "READ_S", 0.2)
    monkeypatch.setattr(object_store, "PUT_S", 0.2)
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b" "))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    store = ObjectStore(settings_for(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    with pytest.raises(ObjectStoreUnavailable):
        await store.get("photo.jpg", max_bytes=2000)
    with pytest.raises(ObjectStoreUnavailable, match="not stored in time"):
        await store.put("photo.jpg", b"x", media_type=JPEG)
    # Each waits no longer than it says, so the last may still be on its way.
    await eventually(lambda: len(asked) >= 3, what="the third request")
    assert asked == [b"GET ", b"GET ", b"PUT "]
    server.close()


@settings(max_examples=200, deadline=None)
@given(missing=st.booleans(), answer=st.text(max_size=200))
def test_only_a_missing_object_is_missing(missing: bool, answer: str) -> None:
    error = _failure("get", "k", FileNotFoundError(answer) if missing else GenericError(answer))
    assert isinstance(error, ObjectMissing | ObjectStoreUnavailable)
    assert isinstance(error, ObjectMissing) == (missing and "<Code>" not in answer)


@pytest.mark.parametrize(("code", "missing"), [("NoSuchKey", True), ("NoSuchBucket", False)])
def test_a_bucket_that_is_not_there_is_no_lost_photo(code: str, missing: bool) -> None:
    error = _failure("get", "k", FileNotFoundError(f"404 Not Found: <Error><Code>{code}</Code></Error>"))
    assert isinstance(error, ObjectMissing) == missing
