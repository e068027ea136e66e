"""Fault codes as machines spell them. Whatever stands where a code belongs means that something is wrong,
so it becomes a code: what cannot be one as it is, is written so that it can. Pure rules.
"""

import hashlib
import json
import re
import unicodedata

MAX_CODE = 40
UNREADABLE = "unreadable"

_PLAIN = re.compile(r"[A-Za-z0-9._:/-]{1,40}")
_FOREIGN = re.compile(r"[^\w.:/-]")


def read_code(said: object) -> tuple[str | None, str | None]:
    """Return the code that was meant (none: nothing is wrong), and a word on it if it was not plain.

    Letters of any script stay, so that two codes stay two; what is too long keeps a digest of the rest.
    """
    if said is None:
        return None, None
    if isinstance(said, str) and _PLAIN.fullmatch(said):
        return said, None
    if said is False or (isinstance(said, str | list | dict) and not said) or _is_blank(said):
        return None, "fault_code is empty, which is read as none; leave it out while nothing is wrong."
    code = _written(said)
    return code, f"fault_code was read as {code!r}; send 1 to {MAX_CODE} of A-Z a-z 0-9 . _ : / -"


def _is_blank(said: object) -> bool:
    return isinstance(said, str) and not said.strip()


def _written(said: object) -> str:
    if isinstance(said, list) and all(isinstance(part, str | int) for part in said):
        text = "/".join(str(part) for part in said)
    elif isinstance(said, str):
        text = said
    elif isinstance(said, int | float) and not isinstance(said, bool):
        text = str(said)
    else:
        text = UNREADABLE if said is True else f"{UNREADABLE}-{_digest(json.dumps(said, sort_keys=True))}"
    code = _FOREIGN.sub("_", unicodedata.normalize("NFKC", text).strip())
    if len(code) > MAX_CODE:
        code = f"{code[: MAX_CODE - 9]}-{_digest(text)}"
    return code if code.strip("_") else f"{UNREADABLE}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
