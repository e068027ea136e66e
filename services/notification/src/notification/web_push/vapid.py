"""Who pushes, as push services check it (RFC 8292, VAPID): a key pair, and a signed token for each."""

import re
from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from notification.web_push import base64url

KEPT_S = 12 * 3600
# A day is the most that the standard allows; what lies between is for clocks that differ.
LIVES_S = KEPT_S + 3600
MOST_TOKENS = 256
PRIVATE_BYTES = 32
SUBJECT = re.compile(r"mailto:[^\s<>@,;:]+@[^\s<>@,;:]+\.[^\s<>@,;:]+|https://[^\s<>/]+\.[^\s<>]+")


class BadKey(ValueError):
    """A text is no VAPID key; the message never shows it."""


class VapidKey:
    """The private key of a P-256 pair: the base64url of its 32 bytes, as ``laundry push-keys`` prints it."""

    def __init__(self, text: str) -> None:
        """Read a key. Raises ``BadKey``."""
        try:
            raw = base64url.decode(text.strip())
            self.private = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
        except ValueError:
            raw = b""
        if len(raw) != PRIVATE_BYTES:
            raise BadKey("it is not the base64url of a P-256 private key; `laundry push-keys` makes one")
        point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = base64url.encode(point)
        """What browsers subscribe with (``applicationServerKey``)."""


def is_subject(text: str) -> bool:
    """Whether push services can write to whoever is meant: a ``mailto:`` or ``https:`` address."""
    return SUBJECT.fullmatch(text) is not None


class VapidTokens:
    """One token for each push service, used for 12 hours: signing costs more than encrypting."""

    def __init__(self, key: VapidKey, subject: str, clock: Callable[[], float]) -> None:
        """Sign as ``subject``; ``clock`` returns seconds since 1970."""
        self._key = key
        self._subject = subject
        self._clock = clock
        self._kept: dict[str, tuple[str, float]] = {}

    def authorization(self, origin: str) -> str:
        """Return the ``Authorization`` header for a push service, whose origin is ``https://host``."""
        now = self._clock()
        token, until = self._kept.get(origin, ("", 0.0))
        # Also after the clock was put back: the token would be from the future.
        if not now < until <= now + KEPT_S:
            if len(self._kept) >= MOST_TOKENS:
                self._kept.clear()
            claims = {"aud": origin, "exp": int(now + LIVES_S), "sub": self._subject}
            token = jwt.encode(claims, self._key.private, algorithm="ES256")
            self._kept[origin] = token, now + KEPT_S
        return f"vapid t={token}, k={self._key.public}"
