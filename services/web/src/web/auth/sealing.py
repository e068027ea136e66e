"""Seals what a browser keeps for this service, so that it can neither be read nor changed there."""

import base64
import hashlib
import json
import time
import zlib
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

MIN_KEY = 32
# Browsers keep 4,096 bytes of a cookie with its name and attributes (RFC 6265bis §5.6).
MAX_BYTES = 3900


class TooLarge(ValueError):
    """A browser would drop it without a word."""


class Sealer:
    """Seals with the first key and opens with any, so that keys can be replaced one by one."""

    def __init__(self, keys: str) -> None:
        """Take the keys, separated by commas. Raises ValueError for one that is too short."""
        given = [key.strip() for key in keys.split(",") if key.strip()]
        if not given or min(map(len, given)) < MIN_KEY:
            raise ValueError(f"a session key has {MIN_KEY} characters or more")
        made = [Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())) for key in given]
        self._newest = made[0]
        self._all = MultiFernet(made)

    def seal(self, purpose: str, content: dict[str, Any]) -> str:
        """Return the content, sealed for one purpose.

        Raises:
            TooLarge: no browser would keep it.
        """
        plain = json.dumps({"for": purpose, **content}, separators=(",", ":"))
        sealed = self._newest.encrypt(zlib.compress(plain.encode(), 9)).decode()
        if len(sealed) > MAX_BYTES:
            raise TooLarge(f"{len(sealed)} bytes are more than a cookie holds")
        return sealed

    def open(self, purpose: str, sealed: str | None, *, max_age_s: float) -> dict[str, Any] | None:
        """Return what was sealed for this purpose; none if it is not by us, too old, or for another."""
        if not sealed or len(sealed) > MAX_BYTES:
            return None
        try:
            # Not by Fernet, which would refuse what a replica whose clock is a minute ahead has sealed.
            if _age_s(self._all, sealed) > max_age_s:
                return None
            # Only what we have sealed ourselves is unpacked.
            plain = zlib.decompress(self._all.decrypt(sealed))
        except (InvalidToken, ValueError):
            return None
        content: dict[str, Any] = json.loads(plain)
        return content if content.pop("for", None) == purpose else None

    def is_stale(self, sealed: str, *, after_s: float) -> bool:
        """Whether a cookie of ours should be sealed again: for its age, or because a newer key seals now."""
        try:
            return _age_s(self._newest, sealed) > after_s
        except InvalidToken:
            return True


def _age_s(keys: Fernet | MultiFernet, sealed: str) -> float:
    """How long ago it was sealed, negative for a clock that is ahead of ours. Raises InvalidToken."""
    return time.time() - keys.extract_timestamp(sealed)
