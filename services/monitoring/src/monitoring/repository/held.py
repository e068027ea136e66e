"""What the monitoring service holds of people: who took care of a fault, and what its audit says of them."""

from laundry_service.personal_data.held import TOMBSTONE, Held, equals
from monitoring.tables import fault

HELD = (
    Held(
        "acknowledgements",
        fault,
        equals(fault.c.acknowledged_by),
        becomes={"acknowledged_by": TOMBSTONE},
        shown=("id", "equipment_id", "branch_id", "acknowledged_at"),
    ),
)
