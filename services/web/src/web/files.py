"""The files of the front end: read, compressed and named by what is in them, once, as the service starts."""

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path

import laundry_look

STATIC = Path(__file__).parent / "static"

# These are compressed already.
WORTH_PACKING = 0.9
# A fifth of what is sent.
COMMENT = re.compile(rb"^ */\*\*.*?\*/\n|^ *//[^\n]*\n", re.MULTILINE | re.DOTALL)
# Whatever this machine's table of types says about JavaScript.
TYPES = mimetypes.MimeTypes()
TYPES.add_type("text/javascript", ".js")


class File:
    """One file, plain and, where that is smaller, compressed."""

    def __init__(self, content: bytes, media_type: str) -> None:
        """Take what is in it."""
        packed = gzip.compress(content, mtime=0)
        self.content = content
        self.packed = packed if len(packed) < WORTH_PACKING * len(content) else None
        self.media_type = media_type
        # Weak, as the same file goes out compressed and plain.
        self.etag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'


def sources() -> dict[str, bytes]:
    """Return what is in each file of the front end, and of the look of all pages, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for folder in (laundry_look.STATIC, STATIC)
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
