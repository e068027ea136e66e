"""What monitoring tells of a fault after the first time, and who takes it without a broker between."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from laundry_events import EventMeta, new_id
from laundry_events.events import EquipmentFault, FaultAcknowledged
from laundry_service.storage.database import Database
from notification.service.fault_intake import FaultIntake


def passed_on(fault: EquipmentFault, escalation: int = 1) -> EquipmentFault:
    """Make what comes when nobody acknowledged a fault for a while."""
    at = fault.detected_at + timedelta(minutes=10 * escalation)
    return fault.model_copy(update={"escalation": escalation, "escalated_at": at})


def taken(fault: EquipmentFault) -> FaultAcknowledged:
    """Make what comes when somebody acknowledges a fault."""
    return FaultAcknowledged(
        fault_id=fault.fault_id,
        equipment_id=fault.equipment_id,
        branch_id=fault.branch_id,
        acknowledged_by="kim",
        acknowledged_at=datetime.now(UTC),
    )


def a_message() -> EventMeta:
    """Make what is known of a message that comes for the first time."""
    return EventMeta(new_id(), "", "", None, None, 0, "equipment.fault", "equipment.fault")


def an_intake(database: Database) -> FaultIntake:
    """Make an intake that rings one owner at once and wakes no sender."""
    return FaultIntake(
        database,
        zone=ZoneInfo("Asia/Seoul"),
        owner_known=timedelta(days=90),
        owners_at_once=1,
        wake=lambda: None,
    )
