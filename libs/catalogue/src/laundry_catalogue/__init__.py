"""Every service of the system, described once.

The local stack, Compose, the chart, the web proxy's routes and the API documents are made from
``SERVICES`` or held against it by a test. Who may publish and consume what is the topology's
(``laundry_events.topology``): a service that the plan names has a login at the broker.
"""

from laundry_catalogue.model import Need, Process, Resources, Service, url_variable, variable
from laundry_catalogue.services import (
    SERVICES,
    audited,
    broker_users,
    copies_of,
    database_owners,
    documented_services,
    letter_signers,
    process_names,
    proxied_services,
    service,
)

__all__ = [
    "SERVICES",
    "Need",
    "Process",
    "Resources",
    "Service",
    "audited",
    "broker_users",
    "copies_of",
    "database_owners",
    "documented_services",
    "letter_signers",
    "process_names",
    "proxied_services",
    "service",
    "url_variable",
    "variable",
]
