"""Names that the chart makes: of hosts in certificates and routes, and of a release; what stays of one."""

from typing import Any

import pytest

from laundry.deploy.objects import parsed
from tests.deploy.test_chart import helm_with, named, refusal, rendered
from tests.deploy.test_chart_options import own_servers

KEPT = {"helm.sh/resource-policy": "keep"}
WITHOUT_A_BROKER = (
    "--set",
    "rabbitmq.enabled=false,rabbitmq.tls.enabled=false,rabbitmq.tls.issuer.name=,topology.managementHost=mq,"
    "topology.adminSecret=admin,autoscaling.by=",
)
WITHOUT_JOBS = (*WITHOUT_A_BROKER, "--set", "topology.enabled=false,backup.enabled=false")


def certificates(*arguments: str) -> dict[str, list[str]]:
    """The hosts of each certificate of the pages, by its Secret."""
    return {
        each["spec"]["secretName"]: each["spec"]["dnsNames"]
        for each in rendered(*arguments)
        if each["kind"] == "Certificate" and each["metadata"]["name"] != "laundry-rabbitmq"
    }


def test_one_secret_of_both_hosts_gets_a_certificate_with_both() -> None:
    assert certificates() == {"laundry-tls": ["laundry.example"], "sign-in-tls": ["sign-in.example"]}
    one = ("--set", "ingress.tlsSecret=both,ingress.identityTlsSecret=both")
    assert certificates(*one) == {"both": ["laundry.example", "sign-in.example"]}
    assert certificates(
        *one, "--set", "identity.enabled=false,identity.jwksUrl=https://x,identity.issuer=y"
    ) == {"both": ["laundry.example"]}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("identity.publicUrl=https://sign-in.example:8443", "identity.publicUrl names a port"),
        ("ingress.host=laundry.example:8443", "ingress.host is a name alone"),
        ("ingress.host=https://laundry.example", "ingress.host is a name alone"),
        ("identity.publicUrl=https://Laundry.example/", "are one host, laundry.example"),
    ],
)
def test_a_host_that_no_ingress_can_have_is_refused_in_a_sentence(value: str, sentence: str) -> None:
    assert sentence in refusal("--set", value)
    # Whoever makes one of their own knows what it can.
    rendered("--set", f"ingress.enabled=false,ingress.issuer.name=,{value}")


def test_behind_a_gateway_a_port_is_its_listener_s_and_two_routes_of_one_host_are_refused() -> None:
    objects = own_servers("--set", "identity.publicUrl=https://sign-in.example:8443")
    assert named(objects, "HTTPRoute", "laundry-identity")["spec"]["hostnames"] == ["sign-in.example"]
    done = helm_with("own-servers-values", "--set", "identity.publicUrl=https://laundry.example:8443")
    assert "are one host, laundry.example" in done.stderr


def test_what_the_broker_that_stays_mounts_or_is_guarded_by_stays_with_it() -> None:
    objects = rendered()
    broker = named(objects, "RabbitmqCluster", "laundry-rabbitmq")
    pod = broker["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"]
    mounted = {
        (kind, source[key]["name"])
        for volume in pod["volumes"]
        for source in volume["projected"]["sources"]
        for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret"))
        if key in source
    }
    made = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    stays = {each for each in made if made[each]["metadata"].get("annotations", {}).items() >= KEPT.items()}
    # The Secrets are the operator's, or cert-manager's of the certificate.
    assert mounted & made.keys() <= stays
    assert stays == {
        ("RabbitmqCluster", "laundry-rabbitmq"),
        ("Certificate", "laundry-rabbitmq"),
        ("ConfigMap", "laundry-rabbitmq-between-nodes"),
        # Without it anybody in the cluster reaches the broker; where all is denied, no node another.
        ("NetworkPolicy", "laundry-rabbitmq"),
        ("PodDisruptionBudget", "laundry-rabbitmq"),
    }


@pytest.mark.parametrize(
    ("arguments", "most"),
    [((), 36), (WITHOUT_A_BROKER, 45), (WITHOUT_JOBS, 48)],
    ids=["broker", "jobs", "none"],
)
def test_a_release_has_a_name_that_leaves_room_for_those_made_of_it(
    arguments: tuple[str, ...], most: int
) -> None:
    done = helm_with("values", *arguments, release=most * "r")
    assert done.returncode == 0, done.stderr
    objects = parsed(done.stdout)
    for each in objects:
        assert len(each["metadata"]["name"]) <= longest(each), each["metadata"]["name"]
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    told = helm_with("values", *arguments, release=(most + 1) * "r").stderr
    assert f"has {most + 1} characters, and {most} are the most" in told


def longest(each: dict[str, Any]) -> int:
    """How long a name of this kind may be: of a CronJob and a StatefulSet others are made."""
    of_the_broker = len("-server")
    return {"CronJob": 52, "RabbitmqCluster": 52 - of_the_broker}.get(each["kind"], 63)
