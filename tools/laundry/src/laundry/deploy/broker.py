"""The broker's settings in Compose and in the chart, as every broker of the laundry has them.

Compose's profile cluster has the HAProxy of ``laundry up --nodes 3`` before its nodes.
"""

import textwrap

from laundry.marks import replaced
from laundry.paths import PROJECT
from laundry_events import broker_settings
from laundry_events.topology import TELEMETRY_EXCHANGE, VHOST
from laundry_servers import haproxy

COMPOSE_FILE = PROJECT / "deploy" / "compose" / "rabbitmq.conf"
CLUSTER_FILE = COMPOSE_FILE.with_name("cluster.conf")
ALONE_FILE = COMPOSE_FILE.with_name("alone.conf")
PROXY_FILE = COMPOSE_FILE.with_name("haproxy.cfg")
CHART_FILE = PROJECT / "deploy" / "helm" / "laundry" / "templates" / "rabbitmq.yaml"
# The broker replaces $(NAME) by its own environment; monitoring knows the secret too.
ASKED_AT = "{monitoring}/mqtt/auth/$(LAUNDRY_MQTT_AUTH_SECRET)"
# Services of docker-compose.yml. The first one alone is the broker of a stack without the profile cluster.
COMPOSE_NODES = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")
HOST_NAMES = ("rabbitmq-1", *COMPOSE_NODES[1:])
PROXY_HEALTH_PORT = 8404
DOCKER_NAMES = "127.0.0.11:53"


def compose_text(present: str) -> str:
    """Return the rabbitmq.conf of Compose's one broker."""
    return replaced(present, "settings", _settings("http://monitoring:8000"))


def cluster_text() -> str:
    """Return how the nodes of Compose's profile cluster find each other."""
    nodes = [f"rabbit@{name}" for name in HOST_NAMES]
    lines = broker_settings.lines(*broker_settings.cluster(nodes, waits_for=str(len(nodes))))
    return "\n".join(["# Written by `make contracts` from laundry_events.broker_settings.", *lines, ""])


def proxy_text() -> str:
    """Return the haproxy.cfg of Compose's profile cluster."""
    nodes = [haproxy.Node(name) for name in COMPOSE_NODES]
    made = haproxy.config(nodes, haproxy.Node("*"), health=PROXY_HEALTH_PORT, resolver=DOCKER_NAMES)
    return f"# Written by `make contracts` from laundry_servers.haproxy.\n{made}"


def chart_text(present: str) -> str:
    """Return the chart's template of the broker."""
    return replaced(present, "settings", textwrap.indent(_settings("http://{{ $monitoring }}:8000"), " " * 6))


def _settings(monitoring: str) -> str:
    lines = broker_settings.lines(
        *broker_settings.EVERY_BROKER,
        *broker_settings.for_equipment(VHOST, TELEMETRY_EXCHANGE),
        *broker_settings.equipment_login(ASKED_AT.format(monitoring=monitoring)),
    )
    return "\n".join(lines)
