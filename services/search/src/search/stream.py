"""Looks up which listening customers a new preference suits, once for all of them."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from laundry_service.storage.database import Database
from laundry_service.streams.changes import Audience
from laundry_service.streams.subscription import Change, change_of
from search import repository
from search.preferences import SuitableBranch, Tags
from search.schemas import MatchOut


def new_matches(
    database: Database, *, threshold: float
) -> Callable[[Sequence[str], Audience], Awaitable[Iterable[Change]]]:
    """Make what reads for payloads (the preferences' ids) whom they suit. A topic is a customer's id."""

    async def look_up(preference_ids: Sequence[str], audience: Audience) -> Iterable[Change]:
        customers = [str(topic) for topic in audience.topics]
        async with database.session() as session:
            found = await repository.suited_customers(session, preference_ids, customers, threshold=threshold)
            tastes = await repository.tastes_of(session, {customer for customer, _ in found})
        return [_told(customer, item, tastes.get(customer, {})) for customer, item in found]

    return look_up


def _told(customer_id: str, found: SuitableBranch, taste: Tags) -> Change:
    id_ = found.preference.id
    data = MatchOut.of(found, taste).model_dump_json()
    return change_of((customer_id, id_), customer_id, event="match", event_id=id_, data=data)
