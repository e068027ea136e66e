"""Reads the queues from the broker's management API."""

import asyncio
import base64
import json
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, unquote, urlsplit

from laundry_events.refused_certificates import explained
from operations.queue_health import Counts

TIMEOUT_S = 5.0


class ManagementAway(Exception):
    """No node's management API gave an answer; the message says what each said."""


class Management:
    """Asks one node after another, with the login and the trusted authorities of the AMQP address."""

    def __init__(self, urls: Sequence[str], amqp_url: str) -> None:
        parts = urlsplit(amqp_url)
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        self._authorization = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._vhost = unquote(parts.path.removeprefix("/")) or "/"
        self._urls = [url.rstrip("/") for url in urls]
        self._ca_file = parse_qs(parts.query).get("cafile", [None])[-1]

    async def queues(self) -> dict[str, Counts]:
        """Return every queue of the virtual host. Raises ManagementAway."""
        return {item["name"]: _counts(item) for item in await asyncio.to_thread(self._get, "queues")}

    async def bindings(self) -> set[tuple[str, str, str]]:
        """Return every binding of the virtual host: its exchange, its queue and its key.

        Raises:
            ManagementAway: no node answers.
        """
        found = await asyncio.to_thread(self._get, "bindings")
        return {(item["source"], item["destination"], item["routing_key"]) for item in found}

    def _get(self, kind: str) -> list[dict[str, Any]]:
        problems: list[str] = []
        # Read each time, as authorities may be replaced while this process runs.
        context = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else None
        for url in self._urls:
            address = f"{url}/api/{kind}/{quote(self._vhost, safe='')}"
            # The addresses are the operator's own settings.
            request = urllib.request.Request(address, headers={"Authorization": self._authorization})  # noqa: S310
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310
                    found: list[dict[str, Any]] = json.load(answer)
                    return found
            except HTTPError as error:
                problems.append(f"{urlsplit(url).netloc}: {error.code}")
            except (OSError, ValueError) as error:
                problems.append(f"{urlsplit(url).netloc}: {explained(error) or type(error).__name__}")
        raise ManagementAway("; ".join(problems))


def _counts(item: Mapping[str, Any]) -> Counts:
    stats: Mapping[str, Any] = item.get("message_stats") or {}

    def rate(name: str) -> float:
        return float((stats.get(f"{name}_details") or {}).get("rate", 0.0))

    members = item.get("members") or ["?"]
    return Counts(
        name=item["name"],
        ready=int(item.get("messages_ready", 0)),
        unacked=int(item.get("messages_unacknowledged", 0)),
        published=int(stats.get("publish", 0)),
        publish_rate=rate("publish"),
        deliver_rate=rate("deliver_get"),
        consumers=int(item.get("consumers", 0)),
        state=str(item.get("state", "unknown")),
        members=len(members),
        online=len(item.get("online") or members),
        bytes=int(item.get("message_bytes", 0)),
        known="messages_ready" in item,
    )
