"""What HAProxy is told, wherever the nodes run."""

import re

from laundry_servers.haproxy import PAYLOADS, READINESS, Node, config

NODES = [Node("one"), Node("two"), Node("three")]


def servers(text: str, payload: str) -> list[str]:
    """The lines of a listener's servers."""
    _, _, after = text.partition(f"listen {payload}\n")
    part = re.split(r"\n(?=listen |frontend )", after)[0]
    return [line.strip() for line in part.splitlines() if line.strip().startswith("server ")]


def test_everything_is_passed_on_to_every_node_in_turn() -> None:
    text = config(NODES, Node("*", 1, 2, 3))
    assert text.count("balance roundrobin") == len(PAYLOADS)
    for payload, port in zip(PAYLOADS, (5672, 1883, 15672), strict=True):
        assert [line.split()[2] for line in servers(text, payload)] == [
            f"{each.host}:{port}" for each in NODES
        ]
    assert re.findall(r"bind (\S+)", text) == ["*:1", "*:2", "*:3"]


def test_a_node_is_asked_once_whether_it_can_serve_and_all_follow() -> None:
    text = config(NODES, Node("*"))
    assert text.count(READINESS) == 1
    assert all(" check port 15672 " in line for line in servers(text, "amqp"))
    for payload in ("mqtt", "management"):
        for number, line in enumerate(servers(text, payload), start=1):
            assert f" track amqp/rabbitmq-{number} " in line
    every = [line for payload in PAYLOADS for line in servers(text, payload)]
    assert all("on-marked-down shutdown-sessions" in line for line in every), "clients of a dead node wait"


def test_connections_outlive_every_heartbeat_and_a_hanging_node_does_not() -> None:
    text = config(NODES, Node("*"))
    timeouts = dict(re.findall(r"^  timeout (\w+) (\S+)$", text, re.MULTILINE))
    assert timeouts == {"connect": "2s", "client": "3h", "server": "3h", "check": "5s"}


def test_nodes_that_speak_tls_are_asked_over_it_whoever_their_authority_is() -> None:
    text = config(NODES, Node("*"), tls=True)
    assert all(" check-ssl verify none " in line for line in servers(text, "amqp"))
    assert "ssl" not in config(NODES, Node("*"))


def test_nodes_whose_addresses_change_are_looked_up_again() -> None:
    text = config(NODES, Node("*"), resolver="127.0.0.11:53")
    assert "nameserver first 127.0.0.11:53" in text
    every = [line for payload in PAYLOADS for line in servers(text, payload)]
    assert all(line.endswith("resolvers names init-addr libc,none") for line in every)


def test_its_own_health_is_whether_any_node_serves() -> None:
    text = config(NODES, Node("*"), health=8404)
    assert "monitor-uri /healthz" in text
    assert "monitor fail if { nbsrv(amqp) lt 1 }" in text
