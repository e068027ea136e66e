"""Virtual hosts of a broker, through its management API."""

from urllib.parse import quote

import httpx

from laundry_servers.addresses import BrokerAddress


def create(broker: BrokerAddress, name: str) -> None:
    """Make a virtual host that the administrator may use wholly. Raises httpx.HTTPError."""
    with _client(broker) as client:
        client.put(
            f"/api/vhosts/{quote(name, safe='')}", json={"default_queue_type": "quorum"}
        ).raise_for_status()
        grant = {"configure": ".*", "write": ".*", "read": ".*"}
        path = f"/api/permissions/{quote(name, safe='')}/{quote(broker.username, safe='')}"
        client.put(path, json=grant).raise_for_status()


def delete(broker: BrokerAddress, name: str) -> None:
    """Delete a virtual host with all it holds. Raises httpx.HTTPError."""
    with _client(broker) as client:
        answer = client.delete(f"/api/vhosts/{quote(name, safe='')}")
        if answer.status_code != 404:
            answer.raise_for_status()


def _client(broker: BrokerAddress) -> httpx.Client:
    return httpx.Client(
        base_url=broker.management_url,
        auth=(broker.username, broker.password),
        timeout=30,
        verify=broker.verify,
    )
