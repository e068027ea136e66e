"""Denials: a log line and a counter, whether by HTTP or MQTT.

Neither ever holds a token or a part of one.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter

if TYPE_CHECKING:
    from laundry_service.auth.principal import Principal

DENIALS = Counter(
    "laundry_denials_total", "Requests, logins and streams that were refused", ["code", "via", "role"]
)
STATUSES = frozenset({401, 403, 429})
NOBODY = "none"
# Per code: a burst of lines, then one a second. A flood of denials must not fill the disk.
LINES_AT_ONCE = 20
LINES_A_SECOND = 1.0
MAX_CODES = 50
# Shorter than any token or key, and none of the characters that join a token's parts.
PLAIN_NAME = re.compile(r"(?!eyJ)[A-Za-z0-9_@:-]{1,64}\Z")

log = structlog.get_logger(__name__)


@dataclass
class _Lines:
    left: float = LINES_AT_ONCE
    at: float = 0.0
    left_out: int = 0


class LineBudget:
    """Decides which denials are still logged in full."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the clock, in seconds."""
        self._clock = clock
        self._codes: dict[str, _Lines] = {}

    def take(self, code: str) -> int | None:
        """Return how many lines of this code were suppressed since the last one; None to suppress this."""
        if code not in self._codes and len(self._codes) >= MAX_CODES:
            code = NOBODY
        now = self._clock()
        lines = self._codes.setdefault(code, _Lines(at=now))
        lines.left = min(LINES_AT_ONCE, lines.left + (now - lines.at) * LINES_A_SECOND)
        lines.at = now
        if lines.left < 1:
            lines.left_out += 1
            return None
        lines.left -= 1
        left_out, lines.left_out = lines.left_out, 0
        return left_out


budget = LineBudget()


def denied(
    code: str,
    *,
    via: str = "http",
    principal: "Principal | None" = None,
    claimed: str | None = None,
    address: str | None = None,
    path: str | None = None,
) -> None:
    """Note that somebody was refused.

    Args:
        code: the problem's code: a word of ours, never something that was sent.
        via: ``http`` or ``mqtt``.
        principal: who it was, if the token was good.
        claimed: who it said it was, if nothing proves it; told unless it may be a secret in its place.
        path: the path's template; the path itself may hold a secret.
    """
    DENIALS.labels(code, via, NOBODY if principal is None else principal.role).inc()
    left_out = budget.take(code)
    if left_out is None:
        return
    told = {
        "sub": None if principal is None else principal.sub,
        "role": None if principal is None else principal.role,
        "token_id": None if principal is None else principal.token_id,
        "claimed": None if claimed is None else claimed if PLAIN_NAME.match(claimed) else "not a name",
        "address": address,
        "path": path,
        "left_out": left_out or None,
    }
    log.warning(
        "denied", code=code, via=via, **{name: value for name, value in told.items() if value is not None}
    )
