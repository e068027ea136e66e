"""HAProxy in front of a RabbitMQ cluster: one address for clients, dead nodes skipped at once."""

from collections.abc import Sequence
from pathlib import Path

from laundry_servers import isolate
from laundry_servers.ports import free_port, is_open
from laundry_servers.process import Process, base_environment


class Proxy:
    """TCP load balancing of AMQP and MQTT over the nodes' ports.

    TLS goes through it unopened: a client checks the node's own certificate and shows the node its own, no
    key lies here, and a renewed certificate needs nothing of the proxy.
    """

    def __init__(self, root: Path, folder: Path, *, amqp: Sequence[int], mqtt: Sequence[int]) -> None:
        self.amqp_port = free_port()
        self.mqtt_port = free_port()
        config = folder / "haproxy.cfg"
        config.write_text(_config({"amqp": (self.amqp_port, amqp), "mqtt": (self.mqtt_port, mqtt)}))
        arguments = ["/usr/sbin/haproxy", "-db", "-f", str(config)]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.process = Process(
            name="haproxy",
            command=isolate.command(root, arguments, environment=environment, folders=[folder]),
            environment=base_environment(),
            log_file=folder / "log" / "haproxy.log",
            ready=lambda: is_open(self.amqp_port) and is_open(self.mqtt_port),
            payload="haproxy",
            port=self.amqp_port,
            stop_seconds=3,
        )


def _config(listeners: dict[str, tuple[int, Sequence[int]]]) -> str:
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
        "  option redispatch",
    ]
    for name, (port, backends) in listeners.items():
        # Not leastconn: a client that leaves a partitioned node would be sent straight back to it.
        lines += [f"listen {name}", f"  bind 127.0.0.1:{port}", "  balance roundrobin"]
        lines += [
            f"  server rabbitmq-{number} 127.0.0.1:{backend} check inter 500 fall 2 rise 2"
            " on-marked-down shutdown-sessions"
            for number, backend in enumerate(backends, start=1)
        ]
    return "\n".join([*lines, ""])
