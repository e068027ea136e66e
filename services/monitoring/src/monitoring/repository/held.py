"""What the monitoring service holds of people: nothing but what its audit says of them."""

from laundry_service.personal_data.held import Held

HELD: tuple[Held, ...] = ()
