"""Forms as clients really write them: taken, or refused for what is wrong with them."""

import asyncio

import pytest
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message

from helper.api.uploads import Limits, file_field, receive_form, text_field
from laundry_service.http.problems import Problem

PHOTO = b"\xff\xd8 photo \r\n--not-the-edge\r\n \xff\xd9"
LIMITS = Limits(photo_bytes=300_000, idle_s=5, total_s=10)


def request(
    body: bytes, content_type: str = "multipart/form-data; boundary=edge", step: int = 7, **more: str
) -> Request:
    pieces = [body[at : at + step] for at in range(0, len(body), step)] or [b""]

    async def receive() -> Message:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    headers = [(b"content-type", content_type.encode("latin-1"))]
    headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
    return Request({"type": "http", "method": "POST", "path": "/tasks", "headers": headers}, receive)


def part(disposition: str, body: bytes = b"b1", *headers: str, edge: str = "edge") -> bytes:
    lines = [f"--{edge}", f"Content-Disposition: form-data; {disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body + b"\r\n"


BRANCH = part('name="branch_id"')
FILE = part('name="photo"; filename="p.jpg"', PHOTO, "Content-Type: image/jpeg")
END = b"--edge--\r\n"


async def taken(form: FormData) -> None:
    photo = file_field(form, "photo")
    assert isinstance(photo, UploadFile)
    assert photo.file.read() == PHOTO
    assert text_field(form, "branch_id") == "b1"
    await form.close()


@pytest.mark.parametrize(
    "body",
    [
        FILE + BRANCH + END,
        BRANCH + FILE + END,
        BRANCH + FILE + END[:-2],
        BRANCH + part("name=\"photo\"; filename*=UTF-8''%EC%82%AC%EC%A7%84.jpg", PHOTO) + END,
        BRANCH + part("name=\"photo\"; FileName* = UTF-8''a.jpg", PHOTO) + END,
        BRANCH + part('name="photo"; filename="a.jpg"; filename*=UTF-8\'\'b.jpg', PHOTO) + END,
        BRANCH + part('name="photo"; filename=""', PHOTO) + END,
        BRANCH + part("name=photo; filename=p.jpg", PHOTO) + END,
        BRANCH + part('name="photo"; filename="a\\"b;c.jpg"', PHOTO) + END,
        BRANCH + part('filename="p.jpg"; name="photo"', PHOTO) + END,
        BRANCH + part('name="photo"; filename="p.jpg"', PHOTO, "Content-Transfer-Encoding: binary") + END,
        BRANCH + part('name="photo"; filename="p.jpg"', PHOTO, "X-Other: 1", "Content-Length: 26") + END,
        b"This is a multipart message.\r\n" + BRANCH + FILE + END,
        b"\r\n" + BRANCH + FILE + END,
        b"--edgeless\r\n\r\n" + BRANCH + FILE + END,
        BRANCH + FILE + END + b"An epilogue.\r\n",
        BRANCH
        + FILE
        + part('name="second"; filename=""', b"", "Content-Type: application/octet-stream")
        + END,
        part('name="second"; filename=""', b"") + BRANCH + FILE + END,
        BRANCH + FILE + part('name="photo"; filename=""', b"") + END,
        part('name="photo"; filename=""', b"") + FILE + BRANCH + END,
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_a_form_that_the_standard_allows_is_taken(body: bytes, step: int) -> None:
    await taken(await receive_form(request(body, step=step), LIMITS))


@pytest.mark.parametrize(
    ("content_type", "edge"),
    [
        ('multipart/form-data; boundary="edge"', "edge"),
        ('multipart/form-data; boundary="a b:c=d?e"', "a b:c=d?e"),
        ("Multipart/Form-Data; Boundary=edge", "edge"),
        ("multipart/form-data; charset=utf-8; boundary=edge", "edge"),
        ("multipart/form-data; boundary=----'()+_,-./:=?x", "----'()+_,-./:=?x"),
        (f"multipart/form-data; boundary={'x' * 70}", "x" * 70),
    ],
)
async def test_a_boundary_of_any_kind_is_taken(content_type: str, edge: str) -> None:
    body = part('name="branch_id"', edge=edge) + part('name="photo"; filename="p.jpg"', PHOTO, edge=edge)
    await taken(await receive_form(request(body + f"--{edge}--\r\n".encode(), content_type), LIMITS))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (BRANCH + FILE, 400, "upload-incomplete"),
        (BRANCH + FILE[:-30], 400, "upload-incomplete"),
        (BRANCH[:20], 400, "upload-incomplete"),
        (b"", 400, "upload-incomplete"),
        (b"x" * 20_000, 400, "upload-malformed"),
        (BRANCH + FILE + FILE + END, 400, "upload-malformed"),
        (BRANCH * 25 + FILE + END, 400, "upload-malformed"),
        (part('name="branch_id"', b"x" * 20_000) + FILE + END, 400, "upload-malformed"),
        (part('name="photo"; filename="' + "x" * 200_000 + '"', PHOTO) + END, 400, "upload-malformed"),
        (
            part('name="photo"; filename="p.jpg"', PHOTO, *[f"X-{n}: 1" for n in range(100)]) + END,
            400,
            "upload-malformed",
        ),
        (part("filename=p.jpg", PHOTO) + END, 400, "upload-malformed"),
        (
            BRANCH
            + part('name="photo"; filename="p.jpg"', b"/9j/", "Content-Transfer-Encoding: base64")
            + END,
            415,
            "upload-encoding-unsupported",
        ),
    ],
)
async def test_a_form_that_is_not_taken_is_told_why(body: bytes, status: int, code: str) -> None:
    with pytest.raises(Problem) as refused:
        await receive_form(request(body, step=1000), LIMITS)
    assert (refused.value.status, refused.value.code) == (status, code), refused.value.detail
    assert "None" not in refused.value.detail


async def test_a_packed_form_is_told_why() -> None:
    packed = request(b"\x1f\x8b", content_encoding="gzip")
    with pytest.raises(Problem, match="gzip") as refused:
        await receive_form(packed, LIMITS)
    assert refused.value.code == "upload-encoding-unsupported"


async def test_only_an_input_that_nobody_filled_is_an_empty_photo() -> None:
    form = await receive_form(request(BRANCH + part('name="photo"; filename=""', b"") + END), LIMITS)
    assert file_field(form, "photo").size == 0
    await form.close()


async def test_several_files_come_in_their_order_and_hold_no_more_memory_than_one() -> None:
    empty = part('name="photo"; filename=""', b"")
    large = part('name="photo"; filename="l.jpg"', bytes(200_000))
    body = FILE + empty + BRANCH + large + END
    form = await receive_form(request(body, step=60_000), LIMITS, files=20)
    files = [each for each in form.getlist("photo") if isinstance(each, UploadFile)]
    assert [each.size for each in files] == [len(PHOTO), 200_000]
    assert [each._in_memory for each in files] == [True, False]
    await form.close()
    with pytest.raises(Problem, match="More than 2 photos") as refused:
        await receive_form(request(FILE * 3 + BRANCH + END, step=1000), LIMITS, files=2)
    assert refused.value.status == 400


async def test_a_line_that_is_too_slow_is_told_so_with_its_speed() -> None:
    async def receive() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": FILE[:20] if sent.pop() else b"y" * 50, "more_body": True}

    sent = [False] * 1000 + [True]
    headers = [(b"content-type", b"multipart/form-data; boundary=edge"), (b"content-length", b"3000")]
    slow = Request({"type": "http", "method": "POST", "path": "/tasks", "headers": headers}, receive)
    sent[-1] = True
    with pytest.raises(Problem, match="KB/s") as refused:
        await receive_form(slow, Limits(photo_bytes=300_000, idle_s=60, total_s=0.3))
    assert (refused.value.status, refused.value.code) == (408, "upload-too-slow")
    assert "of 3,000 bytes" in refused.value.detail
