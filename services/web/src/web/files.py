"""The files of the front end: read, compressed and named by what is in them, once, as the service starts."""

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response

from laundry_service.http.caching import is_known

STATIC = Path(__file__).parent / "static"

# Kept, but asked for again each time (ETag): a new version is used at the next visit.
AGAIN = "no-cache"
# The address says what is in it.
FOR_GOOD = "public, max-age=31536000, immutable"
# What is compressed already does not get smaller.
WORTH_PACKING = 0.9
# A fifth of what is sent.
COMMENT = re.compile(rb"^ */\*\*.*?\*/\n|^ *//[^\n]*\n", re.MULTILINE | re.DOTALL)
# Whatever the machine says of JavaScript.
TYPES = mimetypes.MimeTypes()
TYPES.add_type("text/javascript", ".js")


class File:
    """One file's answers, plain and compressed."""

    def __init__(self, content: bytes, media_type: str) -> None:
        """Take what is in it."""
        packed = gzip.compress(content, mtime=0)
        self.content = content
        self._packed = packed if len(packed) < WORTH_PACKING * len(content) else None
        self._media_type = media_type
        # Weak, as the same file goes out compressed and plain.
        self._etag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'

    def answer(self, request: Request, *, kept: str = AGAIN) -> Response:
        """Answer with it, or 304; ``kept`` is the ``Cache-Control``."""
        headers = {"Cache-Control": kept, "ETag": self._etag}
        if self._packed is not None:
            headers["Vary"] = "Accept-Encoding"
        if is_known(self._etag, request.headers.get("If-None-Match")):
            return Response(status_code=304, headers=headers)
        content = self.content
        if self._packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            content = self._packed
            headers["Content-Encoding"] = "gzip"
        return Response(content, media_type=self._media_type, headers=headers)


def read(folder: Path) -> dict[str, bytes]:
    """Return what is in each file of a folder and those below it, by its path there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def without_comments(script: bytes) -> bytes:
    """Return a script without the comments that have lines of their own; each line keeps its number."""
    return COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), script)


def media_type_of(path: str) -> str:
    """Return the media type that a file's name says."""
    return TYPES.guess_type(path)[0] or "application/octet-stream"


def version_of(*parts: bytes) -> str:
    """Return a name for exactly these contents."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()[:16]
