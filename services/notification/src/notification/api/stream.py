"""Reads which notifications changed, once for all who listen."""

from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Sequence
from datetime import timedelta
from typing import cast

from fastapi.sse import format_sse_event

from laundry_service.auth import Principal
from laundry_service.database import Database
from laundry_service.streams import Audience, Change, Subscription
from notification.model import KIND_FOR, Notification, Recipient
from notification.repository import history
from notification.schemas import NotificationOut
from notification.texts import Language

# Who listed just before he began to listen hears of what came in between.
JUST_BEFORE = timedelta(seconds=5)


def ids_of(payload: str) -> Iterable[str]:
    """Read which notifications a notice names."""
    return payload.split()


def topics_of(user: Principal) -> frozenset[Hashable]:
    """Name what a user may hear of: an owner's are of the branches in his token, a customer's of any."""
    kind = KIND_FOR[cast("Recipient", user.role)]
    if user.role == "owner":
        return frozenset((user.sub, kind, branch) for branch in user.branches)
    return frozenset({(user.sub, kind, None)})


def changed_notifications(
    database: Database,
) -> Callable[[Sequence[str], Audience], Awaitable[Iterable[Change]]]:
    """Make what reads the notifications of those who listen."""

    async def look_up(ids: Sequence[str], audience: Audience) -> Iterable[Change]:
        users = {cast("tuple[str, str, str | None]", topic)[0] for topic in audience.topics}
        async with database.session() as session:
            found = await history.find_all(session, ids, users)
        return [_told(item) for item in found]

    return look_up


async def offer_newest(database: Database, user: Principal, subscription: Subscription) -> None:
    """Tell what changed in the last seconds before a user began to listen."""
    role = cast("Recipient", user.role)
    branches: Collection[str] | None = user.branches if role == "owner" else None
    async with database.session() as session:
        found = await history.changed_lately(
            session, user_id=user.sub, kind=KIND_FOR[role], branches=branches, within=JUST_BEFORE
        )
    for item in found:
        subscription.offer(_told(item))


def _told(item: Notification) -> Change:
    topic = (item.user_id, item.kind, item.branch_id if item.kind == KIND_FOR["owner"] else None)

    def render(language: str) -> bytes:
        data = NotificationOut.of(item, cast("Language", language)).model_dump_json()
        return format_sse_event(event="notification", data_str=data, id=item.id)

    return Change(item.id, topic, render)
