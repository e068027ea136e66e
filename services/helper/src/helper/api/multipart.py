"""Parses multipart forms as RFC 2046 allows and browsers write them, beyond what the parser accepts."""

import re
from collections.abc import AsyncGenerator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

# RFC 7578 forbids it but clients send it: any file name makes the part a file.
_ENCODED_NAME = re.compile(rb";\s*filename\*\s*=", re.I)
_PLAIN_NAME = re.compile(rb";\s*filename\s*=", re.I)
_LINE_ENDS = re.compile(rb"(?:--)?[ \t]*\r\n")
_AS_IT_IS = frozenset({"", "binary", "8bit", "7bit"})
# Browsers also send inputs that were left empty.
_EMPTY_INPUTS = 3
_PREAMBLE_BYTES = 8 * 1024


class FormCutOff(Exception):
    """The form has no closing boundary, so its last part may be cut off."""


class EncodedPart(Exception):
    """A part has a Content-Transfer-Encoding (RFC 7578 §4.7 forbids it)."""


class SeveralFiles(Exception):
    """More files were sent than are taken."""


class FormParser(MultiPartParser):
    """Takes some files and text fields; a file input that was left empty does not count."""

    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        *,
        max_files: int,
        max_fields: int,
        max_part_size: int,
    ) -> None:
        """Take what ``MultiPartParser`` does. However many files come, no more of them is held in memory
        than of one.
        """
        super().__init__(
            headers,
            _from_first_boundary(stream, headers),
            max_files=max_files + _EMPTY_INPUTS,
            max_fields=max_fields,
            max_part_size=max_part_size,
        )
        self._most = max_files
        self.spool_max_size = MultiPartParser.spool_max_size // max_files
        self._ended = False

    def on_headers_finished(self) -> None:
        """Look at a part's headers before its bytes come."""
        part = self._current_part
        said = part.content_disposition or b""
        if _ENCODED_NAME.search(said) and not _PLAIN_NAME.search(said):
            part.content_disposition = said + b'; filename="photo"'
        coded = dict(part.item_headers).get(b"content-transfer-encoding", b"").decode("latin-1")
        if coded.strip().lower() not in _AS_IT_IS:
            raise EncodedPart(coded.strip()[:40])
        super().on_headers_finished()

    def on_end(self) -> None:
        """Note that the closing boundary came."""
        self._ended = True

    async def parse(self) -> FormData:
        """Parse the whole form; the caller closes it.

        Raises:
            FormCutOff, EncodedPart, SeveralFiles.
            MultiPartException: it is no such form.
        """
        form = await super().parse()
        kept = _without_empty_inputs(form, self._most)
        if self._ended and kept is not None:
            return kept
        await form.close()
        raise FormCutOff if not self._ended else SeveralFiles


def _without_empty_inputs(form: FormData, most: int) -> FormData | None:
    """Return what was filled in; None if more files were than ``most``."""
    items = form.multi_items()
    files = [value for _, value in items if isinstance(value, UploadFile)]
    filled = [file for file in files if file.size or file.filename]
    if len(filled) > most:
        return None
    # One that nobody filled is an empty photo only where it is all there is.
    kept = filled or files[:1]
    return FormData([(name, v) for name, v in items if not isinstance(v, UploadFile) or v in kept])


async def _from_first_boundary(
    stream: AsyncGenerator[bytes, None], headers: Headers
) -> AsyncGenerator[bytes, None]:
    """Leave out what stands before the first boundary: it is for readers without MIME."""
    _, parameters = parse_options_header(headers["content-type"])
    edge = b"--" + parameters.get(b"boundary", b"")
    begun = b""
    async for chunk in stream:
        begun += chunk
        if (start := _first(edge, begun)) is not None:
            yield begun[start:]
            break
        if len(begun) > _PREAMBLE_BYTES:
            raise MultiPartException("Its boundary is not at its beginning.")
    else:
        raise MultiPartException("Its boundary is not in it.") if begun else FormCutOff
    async for chunk in stream:
        yield chunk


def _first(edge: bytes, begun: bytes) -> int | None:
    """Find the first line that is the boundary; no pattern is made of it, since each form has another."""
    start = begun.find(edge)
    while start >= 0:
        at_line = start == 0 or begun[start - 2 : start] == b"\r\n"
        if at_line and _LINE_ENDS.match(begun, start + len(edge)):
            return start
        start = begun.find(edge, start + 1)
    return None
