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
            those_that_need("database") | {"migration", "migrations", "training", "backup"},
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


@pytest.mark.parametrize(
    "arguments", [(), ("--set", "database.host=pg,database.port=6432,networkPolicy.dns.ports={5353}")]
)
def test_a_job_that_runs_before_the_release_changes_has_a_policy_of_these_values(
    arguments: tuple[str, ...],
) -> None:
    """Helm changes policies after such Jobs: they would have that of the release before."""
    objects = rendered(*arguments)
    early = [each for each in objects if "pre-" in hook(each)["hook"] and each["kind"] in {"Job", "Pod"}]
    assert [each["metadata"]["name"] for each in early] == ["laundry-migrations"]
    for job in early:
        labels = job["spec"]["template"]["metadata"]["labels"]
        [policy] = [
            each
            for each in objects
            if each["kind"] == "NetworkPolicy"
            and hook(each)["hook"]
            and each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        assert hook(policy)["hook"] == hook(job)["hook"]
        assert int(hook(policy)["hook-weight"]) < int(hook(job)["hook-weight"] or 0)
        # It goes with the Job, and is no object of a release: a rollback finds its own.
        assert hook(policy)["hook-delete-policy"] == hook(job)["hook-delete-policy"]
        others = [each for each in objects if each["kind"] == "NetworkPolicy" and each is not policy]
        assert policy["metadata"]["name"] not in {each["metadata"]["name"] for each in others}
        # All that it needs, as the others may say what was so before.
        dns, database = (5353, 6432) if arguments else (53, 5432)
        assert {dns, database} <= opened([policy])["migrations"]


def hook(found: dict[str, Any]) -> dict[str, str]:
    """What Helm is told of an object: at which events, in which order, and how long it stays."""
    told = found["metadata"].get("annotations", {})
    return {name: told.get(f"helm.sh/{name}", "") for name in ("hook", "hook-weight", "hook-delete-policy")}


def test_the_policy_of_migrations_is_there_while_policies_are_turned_off() -> None:
    """What Helm has not removed yet still denies everything else."""
    kept = named(rendered(), "NetworkPolicy", "laundry-migration")
    assert not hook(kept)["hook"]
    migrations = named(rendered(), "NetworkPolicy", "laundry-migrations")
    assert kept["spec"] == migrations["spec"]
    off = rendered("--set", "networkPolicy.enabled=false")
    assert not [each for each in off if each["kind"] == "NetworkPolicy"]
