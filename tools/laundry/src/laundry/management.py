"""A broker's management API: the local stack's, or a given one."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from laundry.paths import stack_paths
from laundry.stack import state
from laundry_events.broker_plan import Target
from laundry_events.topology import VHOST
from laundry_servers.errors import LaundryError

VARIABLE = "LAUNDRY_MANAGEMENT_URL"


def target(url: str | None = None) -> Target:
    """Return the broker at ``url`` (with user and password), else the environment's, else the stack's."""
    found, ca_file = url or os.environ.get(VARIABLE), None
    if not found:
        stack = state.running_stack(stack_paths())
        found, ca_file = stack["management_urls"][0], (stack.get("tls") or {}).get("ca_file")
    parts = urlsplit(found)
    if not (parts.hostname and parts.username and parts.password):
        raise LaundryError(
            f"A management address looks like http://user:password@host:15672 (or set {VARIABLE})."
        )
    host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    address = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    return Target(address, unquote(parts.username), unquote(parts.password), ca_file)


def of_stack(document: Mapping[str, Any]) -> Target:
    """Return the broker that the content of ``var/stack.json`` names."""
    trusted = {name: value for name, value in (document.get("tls") or {}).items() if name == "ca_file"}
    return replace(target(document["management_urls"][0]), **trusted)


class QueuesUnknown(LaundryError):
    """The broker does not tell of some queues, whose ``names`` these are."""

    def __init__(self, names: Sequence[str]) -> None:
        """Say so to a person."""
        super().__init__(
            f"The broker does not tell what is in {', '.join(names)}. A node that has just come back will "
            "soon: try again. If a queue is not there: laundry topology apply"
        )
        self.names = names


def queue_totals(broker: Target, vhost: str = VHOST, *, of: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Return each queue with its current counts (not the statistics, which are seconds old).

    Args:
        of: those that have to be among them, with their counts.

    Raises:
        QueuesUnknown.
    """
    with broker.client() as client:
        parameters = {"disable_stats": "true", "enable_queue_totals": "true"}
        answer = client.get(f"/api/queues/{quote(vhost, safe='')}", params=parameters)
        answer.raise_for_status()
        totals = {queue["name"]: queue for queue in answer.json()}
    if unknown := [name for name in of if "messages" not in totals.get(name, {})]:
        raise QueuesUnknown(unknown)
    return totals
