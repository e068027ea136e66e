"""What the local FCM and push service remember, and how they are told to misbehave."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

KEPT_MESSAGES = 100_000


class Control(BaseModel):
    """How the server misbehaves: ``status`` (429 or 503) and ``delay_seconds`` for the next ``times`` calls.

    ``times`` null means until changed; ``retry_after_seconds`` adds the Retry-After header; with
    ``token_prefix`` only calls for tokens (of browsers: endpoints) that begin so are meant.
    """

    model_config = ConfigDict(extra="forbid")

    status: int | None = Field(default=None, ge=300, le=599)
    delay_seconds: float = Field(default=0, ge=0, le=600)
    retry_after_seconds: int | None = Field(default=None, ge=0)
    times: int | None = Field(default=None, ge=1)
    token_prefix: str | None = Field(default=None, min_length=1)

    def means(self, token: str) -> bool:
        """Whether a call is one of those that are to fail."""
        return self.token_prefix is None or token.startswith(self.token_prefix)


@dataclass
class State:
    """What the server remembers while it runs."""

    messages: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_MESSAGES))
    unregistered: set[str] = field(default_factory=set)
    control: Control = field(default_factory=Control)

    def next_control(self, token: str) -> Control:
        """Return the control for a call for this device and count it."""
        current = self.control
        if not current.means(token):
            return Control()
        if current.times is not None:
            left = current.times - 1
            self.control = current.model_copy(update={"times": left}) if left else Control()
        return current


def received_now() -> str:
    """Return the time of now as it is kept with a message."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
