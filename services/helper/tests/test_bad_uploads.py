"""Bad photos and bad requests: each has its problem document, and nothing is kept of it."""

import io
import random
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from PIL import Image

from helper.service.submission import SMALL_BYTES
from laundry_reading import decoding
from laundry_reading.bare import bare
from laundry_reading.photo import MAX_BYTES
from laundry_testing.plugin import Bucket
from laundry_testing.problems import assert_problem
from laundry_testing.s3 import client

from .conftest import Service, heic, picture
from .hostile import extents_without_bytes, long_and_narrow

pytestmark = pytest.mark.servers

UNUSUAL = "photo-encoding-unsupported"


def bomb(width: int, height: int) -> bytes:
    """A valid PNG of a few kilobytes that claims many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("P", (10, 10)).save(file, "GIF")
    return file.getvalue()


async def nothing_is_kept(service: Service, bucket: Bucket) -> None:
    assert (await service.get("/tasks")).json()["items"] == []
    assert client(bucket.store).list_objects_v2(Bucket=bucket.name).get("KeyCount", 0) == 0


async def test_photos_that_are_none(alone: Service, bucket: Bucket) -> None:
    whole = picture(640, 480)
    for photo, media_type, status, code in [
        (b"", "image/jpeg", 422, "photo-empty"),
        (whole[: len(whole) // 2], "image/jpeg", 422, "photo-truncated"),
        (whole[:20], "image/jpeg", 422, "photo-truncated"),
        (whole[:2] + b"\xff\xc3\0\x0b\x08\0\1\0\1\1\1\x11\0" + whole[2:], "image/jpeg", 415, UNUSUAL),
        (bomb(600, 400), "image/png", 422, "photo-damaged"),
        (heic()[:-200], "image/heic", 422, "photo-truncated"),
        (b"%PDF-1.7 not a photo", "image/jpeg", 415, "photo-is-pdf"),
        (b"\xff\x0a" + bytes(99), "image/jxl", 415, "photo-is-jpeg-xl"),
        (b"II*\0" + bytes(99), "image/tiff", 415, "photo-is-tiff"),
        (b"MM\0*\0\0\0\x08NIKON" + bytes(99), "image/x-nikon-nef", 415, "photo-is-raw"),
        (b"<svg></svg>", "image/svg+xml", 415, "photo-is-svg"),
        (b"\0\0\0\x18ftypqt  " + bytes(99), "video/quicktime", 415, "photo-is-video"),
        (b"8BPS" + bytes(99), "image/psd", 415, "photo-format-unsupported"),
        (random.Random(1).randbytes(5000), "application/octet-stream", 415, "photo-not-an-image"),
        (gif(), "image/gif", 415, "photo-is-gif"),
        (bomb(21_000, 11_000), "image/png", 422, "photo-too-many-pixels"),
        (bomb(200_000, 200_000), "image/png", 422, "photo-too-many-pixels"),
        (long_and_narrow(), "image/png", 422, "photo-too-many-pixels"),
        (extents_without_bytes(), "image/heic", 422, "photo-damaged"),
    ]:
        assert_problem(await alone.upload(photo, media_type=media_type), status, code)
    await nothing_is_kept(alone, bucket)


async def test_only_jpegs_are_looked_into_by_the_service_itself(
    alone: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(data: bytes) -> None:
        raise AssertionError("read where a hostile file could stop all uploads")

    monkeypatch.setattr(decoding, "read_heif", never)
    monkeypatch.setitem(decoding._READERS, "PNG", never)
    monkeypatch.setitem(decoding._READERS, "WEBP", never)
    large = io.BytesIO()
    Image.frombytes("RGB", (700, 700), random.Random(1).randbytes(700 * 700 * 3)).save(large, "PNG")
    assert len(large.getvalue()) > SMALL_BYTES
    for photo in (heic(), picture(kind="PNG"), picture(kind="WEBP"), picture(kind="AVIF"), large.getvalue()):
        answer = await alone.upload(photo)
        assert answer.status_code == 201, answer.text


async def test_more_bytes_than_the_limit(alone: Service, bucket: Bucket) -> None:
    photo = picture()
    fits = photo + bytes(MAX_BYTES - len(photo))
    answer = assert_problem(await alone.upload(fits + b"x"), 413, "photo-too-large")
    assert answer["max_bytes"] == MAX_BYTES
    assert_problem(await alone.upload(fits + bytes(1_000_000)), 413, "photo-too-large")
    await nothing_is_kept(alone, bucket)
    assert (await alone.upload(fits)).status_code == 201


async def test_more_bytes_than_announced_are_counted(alone: Service, bucket: Bucket) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p.jpg"\r\n\r\n'
        while sent < 4 * MAX_BYTES:
            sent += 64 * 1024
            yield bytes(64 * 1024)

    headers = alone.identity.bearer("helper", "b1") | {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await alone.http.post("/tasks", headers=headers, content=endless())
    assert_problem(answer, 413, "photo-too-large")
    await nothing_is_kept(alone, bucket)


async def test_a_12_megapixel_phone_photo_with_rotation_works(alone: Service) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.effect_noise((4032, 3024), 20).convert("RGB").save(file, "JPEG", quality=80, exif=exif)
    photo = file.getvalue()
    assert len(photo) > 1_000_000
    answer = await alone.upload(photo)
    assert answer.status_code == 201, answer.text
    assert (await original(alone, answer.json())).content == bare(photo)


async def test_the_bytes_decide_what_a_photo_is(alone: Service) -> None:
    photos = {
        "image/jpeg": picture(),
        "image/png": picture(kind="PNG"),
        "image/webp": picture(kind="WEBP"),
        "image/heic": heic(),
        "image/avif": picture(kind="AVIF"),
    }
    for number, (media_type, photo) in enumerate(photos.items()):
        declared = ["application/octet-stream", "image/heic", "text/plain", "image/jpeg", "video/mp4"][number]
        answer = await alone.upload(photo, media_type=declared)
        assert answer.status_code == 201, answer.text
        task = answer.json()
        assert task["photo"]["media_type"] == media_type
        sent = await original(alone, task)
        assert (sent.content, sent.headers["content-type"]) == (bare(photo), media_type)


async def original(service: Service, task: dict[str, Any]) -> httpx.Response:
    operator = service.identity.bearer("operator")
    return await service.get(f"/tasks/{task['id']}/photo?size=original", headers=operator)


async def test_requests_that_are_no_upload(alone: Service, bucket: Bucket) -> None:
    helper = alone.identity.bearer("helper", "b1")
    photo = {"photo": ("p.jpg", picture(), "image/jpeg")}
    post = alone.http.post
    assert_problem(await post("/tasks", headers=helper, json={}), 415, "upload-not-multipart")
    assert_problem(await post("/tasks", headers=helper), 415, "upload-not-multipart")
    assert_problem(await post("/tasks", headers=helper, files=photo), 422, "branch-invalid")
    two = [("photo", photo["photo"]), ("photo", photo["photo"])]
    answer = await post("/tasks", headers=helper, files=two, data={"branch_id": "b1"})
    assert_problem(answer, 400, "upload-malformed")
    only_text = {"branch_id": (None, "b1"), "photo": (None, "no file")}
    assert_problem(await post("/tasks", headers=helper, files=only_text), 422, "photo-missing")
    broken = helper | {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(await post("/tasks", headers=broken, content=b"--c\r\n\r\n"), 400, "upload-malformed")
    no_boundary = helper | {"Content-Type": "multipart/form-data"}
    assert_problem(await post("/tasks", headers=no_boundary, content=b"x"), 400, "upload-malformed")
    for branch in ("", "B1", "a" * 41, "b1\x00"):
        answer = await alone.upload(branch=branch)
        assert answer.status_code == 422
        assert answer.json()["code"] in {"branch-invalid", "invalid-request"}
    assert_problem(await alone.upload(note="n" * 501), 422, "note-too-long")
    assert_problem(await alone.upload(note="a\x00b"), 422, "invalid-request")
    assert_problem(await alone.upload(key="k" * 201), 400, "idempotency-key-invalid")
    assert_problem(await alone.upload(key="two words"), 400, "idempotency-key-invalid")
    await nothing_is_kept(alone, bucket)


async def test_who_may_upload_where(alone: Service, bucket: Bucket) -> None:
    identity = alone.identity
    assert_problem(await alone.upload(branch="b9"), 403, "branch-forbidden")
    for role in ("owner", "customer", "operator", "device"):
        answer = await alone.upload(headers=identity.bearer(role, "b1"))
        assert_problem(answer, 403, "role-forbidden")
    expired = identity.bearer("helper", "b1", seconds=-60)
    assert_problem(await alone.upload(headers=expired), 401, "token-expired")
    head, claims, signature = identity.bearer("helper", "b1")["Authorization"].split(".")
    tampered = {"Authorization": ".".join([head, claims[:-2] + "AA", signature])}
    assert_problem(await alone.upload(headers=tampered), 401, "token-invalid")
    stranger = identity.bearer_with(aud="somebody-else")
    assert_problem(await alone.upload(headers=stranger), 401, "token-invalid")
    missing = await alone.upload(headers={"X-Nothing": "1"})
    assert_problem(missing, 401, "token-missing")
    assert missing.headers["www-authenticate"] == "Bearer"
    await nothing_is_kept(alone, bucket)


@pytest.mark.parametrize(
    ("charset", "status"),
    [
        ("utf-8", 201),
        ("UTF8", 201),
        ('"euc-kr"', 201),
        ("idna", 415),
        ("unicode_escape", 415),
        ("punycode", 415),
        ("rot13", 415),
        ("zlib", 415),
        ("undefined", 415),
        ("utf-7", 415),
        ("no-such-charset", 415),
        ("\xff", 415),
    ],
)
async def test_a_form_is_in_an_encoding_of_text(alone: Service, charset: str, status: int) -> None:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="branch_id"\r\n\r\nb1\r\n'
        b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\n\\x..\xeb\xb9\xa8\r\n'
        b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + picture() + b"\r\n--x--\r\n"
    )
    answer = await alone.http.post(
        "/tasks/",
        content=form,
        headers={
            **{
                name.encode(): value.encode() for name, value in alone.identity.bearer("helper", "b1").items()
            },
            b"Content-Type": f"multipart/form-data; boundary=x; charset={charset}".encode("latin-1"),
        },
    )
    assert answer.status_code == status, answer.text
    if status == 415:
        assert_problem(answer, 415, "charset-unsupported")
