"""HAProxy in front of a RabbitMQ cluster: one address for clients, nodes that cannot serve are skipped."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from laundry_servers import isolate
from laundry_servers.ports import free_ports
from laundry_servers.process import Process, base_environment

READINESS = "/api/health/checks/ready-to-serve-clients"
"""What RabbitMQ's management API says of a node to anybody: listeners open, not drained, not full."""
PAYLOADS = ("amqp", "mqtt", "management")
"""What is passed on, each by a listener and a port of its own."""
HEALTH_PATH = "/healthz"


@dataclass(frozen=True, slots=True)
class Node:
    """A broker as HAProxy reaches it."""

    host: str
    amqp: int = 5672
    mqtt: int = 1883
    management: int = 15672

    def port_of(self, payload: str) -> int:
        """Return the port of one of ``PAYLOADS``."""
        return {"amqp": self.amqp, "mqtt": self.mqtt, "management": self.management}[payload]


def config(
    nodes: Sequence[Node],
    front: Node,
    *,
    health: int | None = None,
    tls: bool = False,
    resolver: str | None = None,
) -> str:
    """Return ``haproxy.cfg``, the same wherever the nodes run.

    Args:
        front: the address and ports that clients use.
        health: a port on which ``HEALTH_PATH`` is 200 while any node serves, else 503.
        tls: the nodes speak nothing else. HAProxy believes what a node says of its state, whoever its
            authority is now: clients check whom they speak with.
        resolver: address of the name server that knows the nodes, where their addresses change.
    """
    lines = [
        "global",
        "  maxconn 2000",
        "  nbthread 1",
        "  log stdout format raw local0 notice",
        "defaults",
        "  mode tcp",
        "  log global",
        "  timeout connect 2s",
        # AMQP and MQTT heartbeats end dead connections long before this does.
        "  timeout client 3h",
        "  timeout server 3h",
        # A dead node refuses at once; this is for one that hangs.
        "  timeout check 5s",
        "  option redispatch",
    ]
    if resolver:
        lines += ["resolvers names", f"  nameserver first {resolver}", "  hold valid 5s"]
    for payload in PAYLOADS:
        lines += _listener(payload, nodes, front, tls, resolver)
    if health:
        lines += [
            "frontend health",
            "  mode http",
            "  timeout client 10s",
            f"  bind {front.host}:{health}",
            f"  monitor-uri {HEALTH_PATH}",
            "  monitor fail if { nbsrv(amqp) lt 1 }",
        ]
    return "\n".join([*lines, ""])


def _listener(
    payload: str, nodes: Sequence[Node], front: Node, tls: bool, resolver: str | None
) -> Iterator[str]:
    yield f"listen {payload}"
    yield f"  bind {front.host}:{front.port_of(payload)}"
    # Not leastconn: a client that leaves a partitioned node would be sent straight back to it.
    yield "  balance roundrobin"
    if payload == PAYLOADS[0]:
        yield "  option httpchk"
        yield f"  http-check send meth GET uri {READINESS} ver HTTP/1.1 hdr Host localhost"
        yield "  http-check expect status 200"
    secured = " check-ssl verify none" if tls else ""
    known = " resolvers names init-addr libc,none" if resolver else ""
    for number, node in enumerate(nodes, start=1):
        # One question a node, whatever is passed on.
        checked = f"track {PAYLOADS[0]}/rabbitmq-{number}"
        if payload == PAYLOADS[0]:
            checked = f"check port {node.management} inter 500 fall 2 rise 2{secured}"
        yield (
            f"  server rabbitmq-{number} {node.host}:{node.port_of(payload)} {checked}"
            f" on-marked-down shutdown-sessions{known}"
        )


class Proxy:
    """TCP load balancing of AMQP, MQTT and the management API over the nodes' ports.

    TLS goes through it unopened: a client checks the node's own certificate and shows the node its own, no
    key lies here, and a renewed certificate needs nothing of the proxy.
    """

    def __init__(self, root: Path, folder: Path, nodes: Sequence[Node], *, tls: bool) -> None:
        amqp, mqtt, management, health = free_ports(4)
        self.front = Node("127.0.0.1", amqp, mqtt, management)
        self.health_url = f"http://127.0.0.1:{health}{HEALTH_PATH}"
        file = folder / "haproxy.cfg"
        file.write_text(config(nodes, self.front, health=health, tls=tls))
        arguments = ["/usr/sbin/haproxy", "-db", "-f", str(file)]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.process = Process(
            name="haproxy",
            command=isolate.command(root, arguments, environment=environment, folders=[folder]),
            environment=base_environment(),
            log_file=folder / "log" / "haproxy.log",
            ready=self._serves,
            payload="haproxy",
            port=self.front.amqp,
            stop_seconds=3,
        )

    def _serves(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(self.health_url, timeout=1).status_code == httpx.codes.OK
        return False
