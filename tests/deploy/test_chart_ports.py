"""The network policies let through what the values name, and nothing by mistake."""

from typing import Any

import pytest

from tests.deploy.test_chart import FACTS, named, rendered
from tests.deploy.test_chart_options import OWN_BROKER

A_BROKER = (*OWN_BROKER, "--set", "broker.host=mq,topology.adminSecret=admin")
PROVIDER = (
    "--set",
    "identity.enabled=false,identity.issuer=http://sso:8080/realms/x,identity.jwksUrl=http://sso:8080/keys",
)


def opened(objects: list[dict[str, Any]]) -> dict[str, set[int]]:
    """The ports that each policy lets its pods connect to, by its name."""
    return {
        each["metadata"]["name"].removeprefix("laundry-"): {
            port["port"] for rule in each["spec"].get("egress", []) for port in rule["ports"]
        }
        for each in objects
        if each["kind"] == "NetworkPolicy"
    }


def those_that_need(fact: str) -> set[str]:
    return {name for name, facts in FACTS.items() if facts.get(fact)}


@pytest.mark.parametrize(
    ("arguments", "port", "who"),
    [
        (
            ("--set", "database.host=pg,database.port=6432"),
            6432,
            those_that_need("database") | {"migration", "training", "backup"},
        ),
        ((*A_BROKER, "--set", "broker.port=5673"), 5673, those_that_need("broker") | {"backup"}),
        (
            ("--set", "objectStore.endpointUrl=http://minio:9000"),
            9000,
            those_that_need("objects") | {"training", "backup"},
        ),
        (
            ("--set", "objectStore.endpointUrl=http://minio"),
            80,
            those_that_need("objects") | {"training", "backup"},
        ),
        (("--set", "tracing.endpoint=http://[fd00::1]:14318"), 14318, FACTS.keys() | {"training"}),
        (PROVIDER, 8080, FACTS.keys() - {"identity"}),
        (("--set", "identity.trustedIssuers[0].jwksUrl=https://sso:8443/keys"), 8443, FACTS.keys()),
        (("--set", "signIn.customers.issuer=https://sso:8444"), 8444, FACTS.keys()),
    ],
)
def test_the_port_of_an_address_in_the_values_is_open_to_who_connects_there_and_to_nobody_else(
    arguments: tuple[str, ...], port: int, who: set[str]
) -> None:
    assert {name for name, ports in opened(rendered(*arguments)).items() if port in ports} == who


def test_an_address_without_a_port_has_that_of_its_scheme_beside_those_that_are_named() -> None:
    for endpoint, ports in (
        ("http://collector:4318", [4318]),
        ("https://otlp.vendor", [4318, 443]),
        ("http://collector", [4318, 80]),
    ):
        policy = named(rendered("--set", f"tracing.endpoint={endpoint}"), "NetworkPolicy", "laundry-search")
        rules = [[port["port"] for port in rule["ports"]] for rule in policy["spec"]["egress"]]
        assert [rule for rule in rules if 4318 in rule] == [ports]


def test_a_port_that_is_named_already_is_not_named_twice() -> None:
    for policy in (each for each in rendered() if each["kind"] == "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            ports = [(port["port"], port["protocol"]) for port in rule["ports"]]
            assert len(ports) == len(set(ports)), policy["metadata"]["name"]


def test_no_port_for_equipment_means_none_and_not_every_one() -> None:
    objects = rendered("--set-json", "networkPolicy.equipment.ports=[]")
    for rule in named(objects, "NetworkPolicy", "laundry-rabbitmq")["spec"]["ingress"]:
        assert rule["ports"]
        assert not {port["port"] for port in rule["ports"]} & {1883, 8883}
