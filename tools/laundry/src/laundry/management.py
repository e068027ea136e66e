"""Which broker a command means, the local stack's or a named one, and what its management API tells."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from laundry.paths import stack_paths
from laundry.stack import state
from laundry_events.broker_plan import Target
from laundry_events.topology import VHOST
from laundry_servers.errors import LaundryError
from laundry_servers.given import AMQP_EXAMPLE, MANAGEMENT_EXAMPLE, several, usable, without_login

VARIABLE, AMQP_VARIABLE = "LAUNDRY_MANAGEMENT_URL", "LAUNDRY_AMQP_URL"
OPTIONS = {VARIABLE: "--management-url", AMQP_VARIABLE: "--amqp-url"}


def named(*needed: str, management_url: str | None = None, amqp_url: str | None = None) -> Mapping[str, str]:
    """Return the addresses of another broker than the stack's, by variable; empty if none is named.

    Args:
        needed: the variables of those that the command uses.
        management_url: what its option says; the variable counts where it says nothing.
        amqp_url: the same.

    Raises:
        LaundryError: one that the command uses is not named but another is: it would act on two brokers.
    """
    options = {VARIABLE: management_url, AMQP_VARIABLE: amqp_url}
    found = {name: url for name, option in options.items() if (url := option or os.environ.get(name))}
    if found and (missing := [name for name in needed if name not in found]):
        given, lacking = (
            " and ".join(f"{name} ({OPTIONS[name]})" for name in names) for names in (found, missing)
        )
        raise LaundryError(
            f"Another broker than the local stack's is named by {given}, but not by {lacking}: nothing was "
            "done, as it would be done on two brokers. Name both addresses of one broker, or neither."
        )
    return found


def target(url: str | None = None) -> Target:
    """Return the broker at ``url`` (with user and password), else the environment's, else the stack's.

    Raises:
        LaundryError: it is no such address, another broker is named by AMQP alone, or no stack runs.
    """
    found, ca_file = named(VARIABLE, management_url=url).get(VARIABLE), None
    if not found:
        stack = state.running_stack(stack_paths())
        found, ca_file = stack["management_urls"][0], (stack.get("tls") or {}).get("ca_file")
    address = usable(several(found), MANAGEMENT_EXAMPLE)[0]
    parts = urlsplit(address)
    if not (parts.username and parts.password):
        raise LaundryError(
            f"The management API asks for a login: {MANAGEMENT_EXAMPLE} ({OPTIONS[VARIABLE]} or {VARIABLE})."
        )
    return Target(without_login(address), unquote(parts.username), unquote(parts.password), ca_file)


def amqp_urls(url: str | None = None, *, checked: bool = True) -> list[str]:
    """Return the broker's AMQP addresses: those in ``url``, else the environment's, else the stack's.

    Args:
        checked: without it, whoever connects has to say which is no address.

    Raises:
        LaundryError: one is no address, another broker is named by its management alone, or no stack runs.
    """
    found = named(AMQP_VARIABLE, amqp_url=url).get(AMQP_VARIABLE)
    if not found:
        stack: list[str] = state.running_stack(stack_paths())["amqp_urls"]
        return stack
    return usable(several(found), AMQP_EXAMPLE) if checked else several(found) or [found]


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
