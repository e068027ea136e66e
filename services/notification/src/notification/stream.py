"""Looks up changed notifications, once for all listeners."""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple, cast

from fastapi.sse import format_sse_event

from laundry_service.storage.database import Database
from laundry_service.streams.changes import Audience
from laundry_service.streams.subscription import Change, Subscription
from notification.model import KIND_FOR, Kind, Notification, Reader
from notification.repository import history
from notification.schemas import NotificationOut
from notification.texts import Language

# Covers changes between a client's list and the start of its stream.
JUST_BEFORE = timedelta(seconds=5)


class Topic(NamedTuple):
    """What a listener hears of: a user's notifications of one kind, and of one branch if that matters."""

    user_id: str
    kind: Kind
    branch_id: str | None


def ids_of(payload: str) -> Iterable[str]:
    """Read which notifications a notice names."""
    return payload.split()


def topics_of(reader: Reader) -> frozenset[Hashable]:
    """Return what a user may hear of."""
    branches = [None] if reader.branches is None else reader.branches
    return frozenset(Topic(reader.user_id, reader.kind, branch) for branch in branches)


def changed_notifications(
    database: Database,
) -> Callable[[Sequence[str], Audience], Awaitable[Iterable[Change]]]:
    """Make what reads the notifications of those who listen."""

    async def look_up(ids: Sequence[str], audience: Audience) -> Iterable[Change]:
        users = {cast("Topic", topic).user_id for topic in audience.topics}
        async with database.session() as session:
            found = await history.find_by_ids(session, ids, users)
        return [_change(item) for item in found]

    return look_up


async def offer_newest(database: Database, reader: Reader, subscription: Subscription) -> None:
    """Send what changed in the last seconds before a user started to listen."""
    async with database.session() as session:
        found = await history.changed_within(session, reader, JUST_BEFORE)
    for item in found:
        subscription.offer(_change(item))


def _change(item: Notification) -> Change:
    topic = Topic(item.user_id, item.kind, item.branch_id if item.kind == KIND_FOR["owner"] else None)

    def render(language: str) -> bytes:
        data = NotificationOut.of(item, cast("Language", language)).model_dump_json()
        return format_sse_event(event="notification", data_str=data, id=item.id)

    return Change(item.id, topic, render)
