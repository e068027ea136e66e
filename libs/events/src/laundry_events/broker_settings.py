"""The broker's settings that the promises rest on: for the local stack, Compose and the chart.

Addresses, logins and limits of disk and memory are the surroundings' own and stand there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MQTT_LOGIN_BYTES = 16 * 1024
MQTT_PACKET_BYTES = 64 * 1024
# Four times the largest event; with it go a copy's headers.
MESSAGE_BYTES = 256 * 1024
NET_TICKTIME_S = 15
NO_BUSY_WAITING = "+sbwt none +sbwtdcpu none +sbwtdio none"
"""Arguments of a broker's Erlang: schedulers without work would use up the processors that it may have."""
QUESTIONS = ("user", "vhost", "resource", "topic")
"""What the broker asks when equipment logs in and speaks."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of ``rabbitmq.conf``, and why it is there."""

    name: str
    value: str
    why: str = ""


EVERY_BROKER = (
    Setting("default_queue_type", "quorum"),
    Setting(
        "net_ticktime",
        str(NET_TICKTIME_S),
        "An unreachable node is considered down after this many seconds; until then its queues wait.",
    ),
    Setting(
        "mqtt.max_packet_size_unauthenticated",
        str(MQTT_LOGIN_BYTES),
        "Size limits: MQTT packets before and after login, and messages of our own services.",
    ),
    Setting("mqtt.max_packet_size_authenticated", str(MQTT_PACKET_BYTES)),
    Setting("max_message_size", str(MESSAGE_BYTES)),
)


def cluster(nodes: Sequence[str], *, waits_for: str = "") -> tuple[Setting, ...]:
    """Return how nodes find each other when they start for the first time.

    Args:
        nodes: their names, such as ``rabbit@rabbitmq-1``.
        waits_for: how many must run before queues of a definitions file are made, so that each queue gets its
            members on all of them.
    """
    hint = Setting(
        "cluster_formation.target_cluster_size_hint",
        waits_for,
        "Queues of the definitions file are made once so many nodes run: each gets a member on every one.",
    )
    return (
        Setting("cluster_formation.peer_discovery_backend", "classic_config"),
        *(
            Setting(f"cluster_formation.classic_config.nodes.{number}", name)
            for number, name in enumerate(nodes, start=1)
        ),
        *((hint,) if waits_for else ()),
    )


def for_equipment(vhost: str, exchange: str) -> tuple[Setting, ...]:
    """Return what lets equipment publish samples by MQTT: into ``exchange`` of ``vhost``."""
    return (
        Setting("mqtt.vhost", vhost),
        Setting("mqtt.exchange", exchange),
        Setting("mqtt.allow_anonymous", "false"),
        Setting(
            "message_interceptors.incoming.set_header_timestamp.overwrite",
            "true",
            "The broker adds to each sample when it came and from which client: messages carry no token.",
        ),
        Setting("mqtt.message_interceptors.incoming.set_client_id_annotation.enabled", "true"),
    )


def equipment_login(asked_at: str) -> tuple[Setting, ...]:
    """Return how equipment logs in; ``asked_at`` is the address, without the question, that decides."""
    return (
        Setting(
            "auth_backends.1",
            "internal",
            "Services log in with the broker's own users; equipment with its token, which monitoring checks.",
        ),
        Setting("auth_backends.2", "rabbit_auth_backend_http"),
        Setting("auth_http.http_method", "post"),
        *(Setting(f"auth_http.{question}_path", f"{asked_at}/{question}") for question in QUESTIONS),
    )


def tls(ca_file: str, certificate: str, key: str) -> tuple[Setting, ...]:
    """Return what closes the plain listeners and shows and demands certificates; the ports stand elsewhere.

    Args:
        ca_file: the authorities whose certificates are taken, ours and clients'.
        certificate: the node's own, and ``key`` its key; both may be in one file.
    """
    files = (("cacertfile", ca_file), ("certfile", certificate), ("keyfile", key))
    versions = (("versions.1", "tlsv1.3"), ("versions.2", "tlsv1.2"))
    return (
        Setting("listeners.tcp", "none", "Nothing in clear text, for services and equipment alike."),
        Setting("mqtt.listeners.tcp", "none"),
        *(Setting(f"ssl_options.{name}", value) for name, value in (*files, *versions)),
        Setting("ssl_options.verify", "verify_peer", "Who shows no certificate of ours cannot log in."),
        Setting("ssl_options.fail_if_no_peer_cert", "true"),
        # People look at the management API with a browser, and Prometheus scrapes: there the login decides.
        *(
            Setting(f"{listener}.ssl.{name}", value)
            for listener in ("management", "prometheus")
            for name, value in (*files, *versions)
        ),
    )


def lines(*settings: Setting) -> Iterator[str]:
    """Yield the settings as lines of ``rabbitmq.conf``."""
    for setting in settings:
        if setting.why:
            yield f"# {setting.why}"
        yield f"{setting.name} = {setting.value}"
