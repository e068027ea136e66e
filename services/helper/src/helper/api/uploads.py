"""Receives an upload within limits on size and time; nothing over a limit is kept."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from helper.api.multipart import EncodedPart, FormCutOff, FormParser, SeveralFiles
from laundry_service.http.problems import Problem

# Boundaries, part headers and the small fields beside the photo.
OVERHEAD_BYTES = 64 * 1024
FIELD_BYTES = 16 * 1024
MAX_FIELDS = 24
CHARSETS = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252", "euc-kr", "cp949"}
)


@dataclass(frozen=True)
class Limits:
    """How much and how slowly an upload may come; a silence of ``idle_s``, to a tenth of it, ends it."""

    photo_bytes: int
    idle_s: float
    total_s: float


@dataclass
class Progress:
    """How much of an upload has come."""

    declared: int | None
    received: int = 0


async def receive_form(request: Request, limits: Limits, *, files: int = 1) -> FormData:
    """Receive a multipart form with at most so many files; what is over 1 MB of them lies on disk.

    Close the form when done with it.

    Raises:
        Problem: 413 before more than the limit was read, 408 for an upload that stalls, 400 or 415 for a
            body that is no such form.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise Problem(
            415,
            "upload-encoding-unsupported",
            f"The request has the Content-Encoding {coding[:40]!r}. Send the form as it is.",
        )
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        raise Problem(
            415,
            "upload-not-multipart",
            "Send multipart/form-data with the photo as a file in the field 'photo', and 'branch_id'.",
        )
    _check_charset(request.headers["content-type"])
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.photo_bytes + OVERHEAD_BYTES:
        raise too_large(limits.photo_bytes)
    patience = asyncio.timeout(limits.idle_s)
    progress = Progress(int(declared) if declared.isdecimal() else None)
    try:
        async with asyncio.timeout(limits.total_s), patience:
            parser = FormParser(
                request.headers,
                _bounded(request, limits, patience, progress),
                max_files=files,
                max_fields=MAX_FIELDS,
                max_part_size=FIELD_BYTES,
            )
            return await parser.parse()
    except TimeoutError as error:
        raise _gave_up(limits, progress, stalled=patience.expired()) from error
    except MultiPartException as error:
        why = f" {error.__cause__}" if error.__cause__ is not None else ""
        raise Problem(
            400, "upload-malformed", f"The multipart body is not valid: {error.message}{why}"
        ) from error
    except SeveralFiles as error:
        detail = "Two files came in one request. Send each photo by itself, or to POST /tasks/batch."
        if files > 1:
            detail = f"More than {files} photos came in one request. Send the others in another one."
        raise Problem(400, "upload-malformed", detail) from error
    except EncodedPart as error:
        raise Problem(
            415,
            "upload-encoding-unsupported",
            f"A part has the Content-Transfer-Encoding {str(error)!r}. Send the photo's bytes as they are.",
        ) from error
    except FormCutOff as error:
        raise Problem(
            400,
            "upload-incomplete",
            "The form has no closing boundary: it was cut off on its way. Send the photo again.",
        ) from error
    except ClientDisconnect as error:
        raise Problem(400, "upload-interrupted", "The upload ended too early. Send it again.") from error


async def receive_piece(request: Request, limits: Limits) -> bytes:
    """Receive a body as it is, within limits.

    Raises:
        Problem: 413 before more than the limit was read, 408 for one that stalls, 422 if it is empty.
    """
    patience = asyncio.timeout(limits.idle_s)
    progress = Progress(None)
    try:
        async with asyncio.timeout(limits.total_s), patience:
            body = b"".join([chunk async for chunk in _bounded(request, limits, patience, progress)])
    except TimeoutError as error:
        raise _gave_up(limits, progress, stalled=patience.expired()) from error
    except ClientDisconnect as error:
        raise Problem(400, "upload-interrupted", "The upload ended too early. Send it again.") from error
    if not body:
        raise Problem(422, "piece-empty", "Send the next bytes of the photo as the body.")
    if len(body) > limits.photo_bytes:
        raise too_large(limits.photo_bytes)
    return body


def _check_charset(content_type: str) -> None:
    """Refuse what is no encoding of text: Python has more codecs than that, and some of them fail."""
    said = parse_options_header(content_type)[1].get(b"charset", b"utf-8")
    charset = said.decode("latin-1").strip().lower()
    if charset.replace("_", "-") not in CHARSETS:
        raise Problem(
            415, "charset-unsupported", f"The form's charset {charset[:40]!r} is not known. Send it in UTF-8."
        )


def too_large(limit: int) -> Problem:
    """Make the problem of a photo with too many bytes."""
    return Problem(
        413,
        "photo-too-large",
        f"A photo has at most {limit:,} bytes. Take it at a lower resolution and send it again.",
        max_bytes=limit,
    )


def check_size(size: int, limits: Limits) -> None:
    """Refuse a photo with too many bytes. Raises a Problem (413)."""
    if size > limits.photo_bytes:
        raise too_large(limits.photo_bytes)


def _gave_up(limits: Limits, progress: Progress, *, stalled: bool) -> Problem:
    if stalled:
        return Problem(
            408, "upload-stalled", f"Nothing came for {limits.idle_s:g} seconds. Send the photo again."
        )
    rate = progress.received / 1000 / limits.total_s
    whole = f" of {progress.declared:,}" if progress.declared is not None else ""
    return Problem(
        408,
        "upload-too-slow",
        f"The line is too slow for this photo: {progress.received:,}{whole} bytes came in {limits.total_s:g} "
        f"seconds ({rate:.1f} KB/s). Send it where the connection is better, or take it at a lower "
        "resolution.",
        received_bytes=progress.received,
    )


async def _bounded(
    request: Request, limits: Limits, patience: asyncio.Timeout, progress: Progress
) -> AsyncGenerator[bytes, None]:
    now = asyncio.get_running_loop().time
    set_at = now()
    async for chunk in request.stream():
        progress.received += len(chunk)
        if progress.received > limits.photo_bytes + OVERHEAD_BYTES:
            raise too_large(limits.photo_bytes)
        # A timer for each of the chunks of a photo would be a tenth of what receiving it costs.
        if now() > set_at + limits.idle_s / 10:
            set_at = now()
            patience.reschedule(set_at + limits.idle_s)
        yield chunk


def text_field(form: FormData, name: str) -> str | None:
    """Return a text field, or None if it was not sent.

    Raises:
        Problem: 422 if it was sent as a file or twice, or holds what no text does.
    """
    values = form.getlist(name)
    if not values:
        return None
    if len(values) > 1 or not isinstance(values[0], str) or "\x00" in values[0]:
        raise Problem(422, "invalid-request", f"The field {name!r} must be sent once, as text.")
    return values[0]


def text_fields(form: FormData, name: str) -> list[str]:
    """Return every value of a text field that may be sent several times.

    Raises:
        Problem: 422 if one was sent as a file, or holds what no text does.
    """
    values = [value for value in form.getlist(name) if isinstance(value, str) and "\x00" not in value]
    if len(values) < len(form.getlist(name)):
        raise Problem(422, "invalid-request", f"The field {name!r} must be sent as text.")
    return values


def file_field(form: FormData, name: str) -> UploadFile:
    """Return the file.

    Raises:
        Problem: 422 if it was not sent.
    """
    value = form.get(name)
    if not isinstance(value, UploadFile):
        raise Problem(422, "photo-missing", f"Send the photo as a file in the field {name!r}.")
    return value
