"""What is shown of a photo: pictures for all who may see the task; the file itself for operators only."""

import asyncio
import hashlib
import io
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image

from helper import repository
from helper.app import create_app
from helper.sweep import orphans
from laundry_events import Publisher
from laundry_events.events import Picture, Pictures
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.plugin import Bucket
from laundry_testing.problems import assert_problem
from laundry_testing.s3 import client
from laundry_testing.serving import serving

from .conftest import MakeSettings, Service, heic, picture, reading

pytestmark = pytest.mark.servers


def told() -> bytes:
    """A photo that tells where and with what it was taken, with a clip behind it."""
    exif = Image.Exif()
    exif[0x010F] = "SERIAL-0815"
    exif.get_ifd(0x8825)[1] = "N 37 33"
    return picture(2000, 1500, exif=exif) + b"ftypmp42 SERIAL-0815"


def keys(bucket: Bucket, prefix: str) -> list[str]:
    listed = client(bucket.store).list_objects_v2(Bucket=bucket.name, Prefix=prefix)
    return [item["Key"] for item in listed.get("Contents", [])]


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


async def test_others_get_a_picture_without_what_the_file_tells(alone: Service) -> None:
    photo = told()
    task = (await alone.upload(photo)).json()
    path = f"/tasks/{task['id']}/photo"
    identity = alone.identity
    for headers in (
        identity.bearer("owner", "b1"),
        identity.bearer("helper", "b1"),
        identity.bearer("operator"),
    ):
        for query, longest in (("", 1600), ("?size=display", 1600), ("?size=thumbnail", 320)):
            answer = await alone.get(path + query, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
            assert not [word for word in (b"SERIAL", b"N 37", b"mp42", b"Exif") if word in answer.content]
            assert max(size_of(answer.content)) == longest
            assert answer.headers["cache-control"] == "private, no-cache"
            assert "Authorization" in answer.headers["vary"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
            again = await alone.get(path + query, headers=headers | {"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
    for role in ("owner", "helper"):
        answer = await alone.get(path + "?size=original", headers=identity.bearer(role, "b1"))
        assert_problem(answer, 403, "original-forbidden")
    answer = await alone.get(path + "?size=original", headers=identity.bearer("operator"))
    assert size_of(answer.content) == (2000, 1500)
    assert not [word for word in (b"SERIAL", b"N 37", b"mp42", b"Exif") if word in answer.content]
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    headers = identity.bearer("operator") | {"If-None-Match": answer.headers["etag"]}
    again = await alone.get(path + "?size=original", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert (await alone.get(path + "?size=huge")).status_code == 422
    assert_problem(await alone.get(path, headers=identity.bearer("owner", "b2")), 403, "branch-forbidden")


async def test_what_no_browser_shows_is_shown(alone: Service) -> None:
    task = (await alone.upload(heic(1000, 700), media_type="image/heic")).json()
    answer = await alone.get(f"/tasks/{task['id']}/photo?size=thumbnail")
    assert (answer.status_code, size_of(answer.content)) == (200, (320, 224))


async def test_they_are_made_once_however_many_ask(alone: Service, bucket: Bucket) -> None:
    task = (await alone.upload(told())).json()
    path = f"/tasks/{task['id']}/photo"
    assert keys(bucket, "pictures/") == []
    answers = await asyncio.gather(*(alone.get(path) for _ in range(6)))
    assert len({answer.content for answer in answers}) == 1
    found = keys(bucket, "pictures/")
    assert [key.rsplit("-", 1)[1] for key in found] == ["display.jpg", "thumbnail.jpg"]
    assert all(key.startswith(f"pictures/b1/{task['id']}/") for key in found)
    # Gone from the store, they are made again.
    for key in found:
        client(bucket.store).delete_object(Bucket=bucket.name, Key=key)
    again = await alone.get(path + "?size=thumbnail")
    assert (again.status_code, max(size_of(again.content))) == (200, 320)
    assert len(keys(bucket, "pictures/")) == 2
    task_now = (await alone.get(f"/tasks/{task['id']}")).json()
    assert task_now == task, "what is shown of a photo is no change of its task"


async def test_the_readers_pictures_are_shown_and_outlast_a_reading_without(
    service: Service, reader: Publisher, bucket: Bucket, make_settings: MakeSettings
) -> None:
    made = {size: picture(colour=7 + number) for number, size in enumerate(("display", "thumbnail"))}
    store = ObjectStore(make_settings())
    task = (await service.upload(told())).json()
    pictures = {}
    for size, data in made.items():
        key = f"pictures/b1/{task['id']}/r-{size}.jpg"
        await store.put(key, data, media_type="image/jpeg")
        pictures[size] = Picture(
            key=key,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            media_type="image/jpeg",
            width=320,
            height=240,
        )
    await reader.publish(reading(task, pictures=Pictures.model_validate(pictures)))
    await service.has_status(task["id"], "read")
    for size, data in made.items():
        assert (await service.get(f"/tasks/{task['id']}/photo?size={size}")).content == data
    assert len(keys(bucket, "pictures/")) == 2

    asked = (await service.upload(picture(colour=2))).json()
    shown = (await service.get(f"/tasks/{asked['id']}/photo")).content
    await reader.publish(reading(asked, outcome="unreadable", labels=[], reason="truncated"))
    await service.has_status(asked["id"], "unreadable")
    assert (await service.get(f"/tasks/{asked['id']}/photo")).content == shown
    assert len(keys(bucket, "pictures/")) == 4
    # What was made is found by who sweeps, and only what no task has is his.
    lost = f"pictures/b1/{task['id']}/other-display.jpg"
    client(bucket.store).put_object(Bucket=bucket.name, Key=lost, Body=b"x")
    assert await swept(make_settings) == [lost]


async def swept(make_settings: MakeSettings) -> list[str]:
    settings = make_settings()
    database, store = Database(settings.database_url.get_secret_value(), pool=1), ObjectStore(settings)
    found = [key async for key in orphans(database, store, older_than=timedelta(seconds=-60))]
    await database.close()
    return found


async def test_a_photo_that_cannot_be_shown_says_so(
    alone: Service, bucket: Bucket, database_url: str
) -> None:
    task = (await alone.upload()).json()
    database = Database(database_url, pool=1)
    async with repository.single(database) as connection:
        stored = await repository.find(connection, task["id"])
    await database.close()
    assert stored is not None
    # As one that an older release took.
    client(bucket.store).put_object(Bucket=bucket.name, Key=stored.photo.key, Body=b"hello")
    problem = assert_problem(await alone.get(f"/tasks/{task['id']}/photo"), 422, "photo-not-showable")
    assert problem["reason"] == "not_an_image"
    client(bucket.store).delete_object(Bucket=bucket.name, Key=stored.photo.key)
    assert_problem(await alone.get(f"/tasks/{task['id']}/photo"), 404, "photo-missing")
    operator = alone.identity.bearer("operator")
    answer = await alone.get(f"/tasks/{task['id']}/photo?size=original", headers=operator)
    assert_problem(answer, 404, "photo-missing")


async def test_more_photos_than_can_be_decoded_soon_are_sent_back(
    make_settings: MakeSettings, alone: Service
) -> None:
    tasks: list[dict[str, Any]] = [(await alone.upload(picture(colour=n))).json() for n in range(5)]
    settings = make_settings(decoder_processes=1, decoder_waiting=0)
    async with serving(create_app(settings)) as http:
        busy = Service(http, alone.identity)
        answers = await asyncio.gather(*(busy.get(f"/tasks/{task['id']}/photo") for task in tasks))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 0 < len(refused) < 5
        for answer in refused:
            assert_problem(answer, 503, "photo-decoder-busy")
            assert int(answer.headers["retry-after"]) > 0
        for task in tasks:
            assert (await busy.get(f"/tasks/{task['id']}/photo")).status_code == 200
