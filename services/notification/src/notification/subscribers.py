"""Which handler takes which event."""

from laundry_events import EventConsumer, EventMeta
from laundry_events.events import (
    EquipmentFault,
    FaultAcknowledged,
    PreferenceCreated,
    PreferenceWithdrawn,
)
from laundry_service.personal_data.erasing import Erasures, subscribe_erasures
from notification.service.fault_intake import FaultIntake
from notification.service.recommendation_intake import RecommendationIntake
from notification.service.recommendation_sender import RecommendationSender


def subscribe_faults(consumer: EventConsumer, intake: FaultIntake, *, prefetch: int) -> None:
    """Subscribe to faults and to who takes care of them: the only queues of the ``faults`` process."""

    @consumer.on("equipment.fault", EquipmentFault, prefetch=prefetch)
    async def on_fault(event: EquipmentFault, meta: EventMeta) -> None:
        await intake.handle(event, meta)

    @consumer.on("equipment.fault.acknowledged", FaultAcknowledged, prefetch=prefetch)
    async def on_acknowledgement(event: FaultAcknowledged, meta: EventMeta) -> None:
        await intake.acknowledged(event, meta)


def subscribe_people(consumer: EventConsumer, erasures: Erasures) -> None:
    """Subscribe to the queue of people to forget."""
    subscribe_erasures(consumer, erasures, "notification")


def subscribe_preferences(
    consumer: EventConsumer, intake: RecommendationIntake, sender: RecommendationSender, *, prefetch: int
) -> None:
    """Subscribe to what branches say, which is sent at once, and to what they take back."""

    @consumer.on("preference.created", PreferenceCreated, prefetch=prefetch)
    async def on_preference(event: PreferenceCreated, meta: EventMeta) -> None:
        await intake.handle(event, meta)
        sender.wake()

    @consumer.on("preference.withdrawn", PreferenceWithdrawn, prefetch=prefetch)
    async def on_withdrawal(event: PreferenceWithdrawn, meta: EventMeta) -> None:
        await intake.withdraw(event, meta)
