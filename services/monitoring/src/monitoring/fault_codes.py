"""Fault codes as machines spell them. Pure rules.

Whatever stands in the place of a code means that something is wrong, so it becomes a code: what cannot be one
as it is gets rewritten.
"""

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass

MAX_CODE = 40
UNREADABLE = "unreadable"

_PLAIN = re.compile(r"[A-Za-z0-9._:/-]{1,40}")
_FOREIGN = re.compile(r"[^\w.:/-]")


@dataclass(frozen=True)
class CodeReading:
    """The code that was meant, ``None`` if nothing is wrong, and a remark if it was not written plainly."""

    code: str | None
    remark: str | None = None


def read_code(value: object) -> CodeReading:
    """Read a fault code of any shape.

    Letters of any script stay, so that two codes stay two; one that is too long ends in a digest.
    """
    if value is None:
        return CodeReading(None)
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return CodeReading(value)
    if value is False or (isinstance(value, str | list | dict) and not value) or _is_blank(value):
        return CodeReading(
            None, "fault_code is empty, which is read as none; leave it out while nothing is wrong."
        )
    code = _rewrite(value)
    return CodeReading(
        code, f"fault_code was read as {code!r}; send 1 to {MAX_CODE} of A-Z a-z 0-9 . _ : / -"
    )


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _rewrite(value: object) -> str:
    if isinstance(value, list) and all(isinstance(part, str | int) for part in value):
        text = "/".join(str(part) for part in value)
    elif isinstance(value, str):
        text = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)
    else:
        text = UNREADABLE if value is True else f"{UNREADABLE}-{_digest(json.dumps(value, sort_keys=True))}"
    code = _FOREIGN.sub("_", unicodedata.normalize("NFKC", text).strip())
    if len(code) > MAX_CODE:
        code = f"{code[: MAX_CODE - 9]}-{_digest(text)}"
    return code if code.strip("_") else f"{UNREADABLE}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
