"""Which handler takes which queue."""

from laundry_events import EventConsumer, EventMeta
from laundry_events.events import EquipmentFault, PreferenceCreated
from notification.service.fault_intake import FaultAlerts
from notification.service.recommendations import Matches, MatchSender


def subscribe_faults(consumer: EventConsumer, alerts: FaultAlerts, *, prefetch: int) -> None:
    """Take ``equipment.fault``."""

    @consumer.on("equipment.fault", EquipmentFault, prefetch=prefetch)
    async def on_fault(event: EquipmentFault, meta: EventMeta) -> None:
        await alerts.handle(event, meta)


def subscribe_matches(
    consumer: EventConsumer, matches: Matches, sender: MatchSender, *, prefetch: int
) -> None:
    """Take ``preference.created``."""

    @consumer.on("preference.created", PreferenceCreated, prefetch=prefetch)
    async def on_preference(event: PreferenceCreated, meta: EventMeta) -> None:
        await matches.handle(event, meta)
        sender.wake()
