"""What a person did, and the audit record of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace

from laundry_service.auth.principal import Principal

COLUMNS = ("at", "by", "via", "action", "object", "record")
MAX_TEXT = 500


@dataclass(frozen=True)
class Actor:
    """The acting person: subject and role of a token, or a local user name."""

    by: str
    role: str

    @classmethod
    def of(cls, principal: Principal) -> "Actor":
        """Make the actor that a token names."""
        return cls(principal.sub, principal.role)


@dataclass(frozen=True)
class Act:
    """One audited act.

    Attributes:
        action: a verb with its object, e.g. ``equipment.retire``.
        object: which one.
        reason: the person's own words, None where none were given.
        outcome: ``done``; ``asked`` for what is begun outside the database, which a second record may follow.
        details: what else a reader needs; small values only.
    """

    action: str
    object: str
    actor: Actor
    reason: str | None = None
    outcome: str = "done"
    via: str = "api"
    details: Mapping[str, Any] = field(default_factory=dict)

    def record(self, now: datetime) -> dict[str, Any]:
        """Return what is kept and shown."""
        return {
            "at": now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "by": plain(self.actor.by),
            "role": self.actor.role,
            "via": self.via,
            "action": self.action,
            "object": plain(self.object),
            "reason": None if self.reason is None else plain(self.reason),
            "outcome": self.outcome,
            "trace_id": current_trace(),
            **self.details,
        }


def plain(said: str) -> str:
    """Make untrusted text storable: PostgreSQL accepts neither NUL nor lone surrogates."""
    return said.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:MAX_TEXT]


def current_trace() -> str | None:
    """Return the trace id of the current request."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def row_of(act: Act, now: datetime) -> dict[str, Any]:
    """Return the columns of an act's row; the table's trigger adds number and hashes."""
    record = act.record(now)
    columns = {name: record[name] for name in ("by", "via", "action", "object")}
    return {"at": now, **columns, "record": json.dumps(record, ensure_ascii=False)}
