"""The broker's settings in Compose and in the chart, as every broker of the laundry has them."""

import textwrap

from laundry.marks import replaced
from laundry.paths import PROJECT
from laundry_events import broker_settings
from laundry_events.topology import TELEMETRY_EXCHANGE, VHOST

COMPOSE_FILE = PROJECT / "deploy" / "compose" / "rabbitmq.conf"
CHART_FILE = PROJECT / "deploy" / "helm" / "laundry" / "templates" / "rabbitmq.yaml"
# The broker replaces $(NAME) by its own environment; monitoring knows the secret too.
ASKED_AT = "{monitoring}/mqtt/auth/$(LAUNDRY_MQTT_AUTH_SECRET)"


def compose_text(present: str) -> str:
    """Return Compose's rabbitmq.conf."""
    return replaced(present, "settings", _settings("http://monitoring:8000"))


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
