"""The broker that the chart makes has the room and the ways that its plan needs."""

import json
import re
from typing import Any

from laundry.deploy import chart
from laundry_events.topology import HISTORY_INTAKE, PLAN
from tests.deploy.test_chart import VALUES, named, rendered

GIB = 1024**3
# As osiris, which copies streams, takes them; RabbitMQ has no setting for it.
COPIES_OF_STREAMS = range(6000, 6501)


def between_nodes(policy: dict[str, Any], way: str, side: str) -> set[int]:
    """The ports at which the broker's nodes may call each other."""
    own = [{"podSelector": policy["podSelector"]}]
    return {
        number
        for rule in policy[way]
        if rule.get(side) == own
        for port in rule["ports"]
        for number in range(port["port"], port.get("endPort", port["port"]) + 1)
    }


def test_nodes_may_copy_each_other_s_streams() -> None:
    queues = json.loads(chart.definitions_text())["queues"]
    copied = [each["name"] for each in queues if each["arguments"].get("x-initial-cluster-size", 1) > 1]
    assert {*copied} == {queue.name for queue in PLAN.queues if queue.kind == "stream"}
    policy = named(rendered(), "NetworkPolicy", "laundry-rabbitmq")["spec"]
    for way, side in (("ingress", "from"), ("egress", "to")):
        opened = between_nodes(policy, way, side)
        assert opened >= {*COPIES_OF_STREAMS, 4369, 25672}, f"no majority of {', '.join(copied)}"


def test_a_node_s_disk_holds_the_streams_before_the_broker_accepts_nothing() -> None:
    broker = named(rendered(), "RabbitmqCluster", "laundry-rabbitmq")["spec"]
    [limit] = re.findall(r"disk_free_limit.relative = (.+)", broker["rabbitmq"]["additionalConfig"])
    # Of what the node takes for the machine's memory.
    must_be_free = float(limit) * gib(VALUES["rabbitmq"]["resources"]["limits"]["memory"])
    kept = sum(queue.max_bytes for queue in PLAN.queues if queue.kind == "stream")
    kept += next(queue.max_bytes for queue in PLAN.queues if queue.name == HISTORY_INTAKE)
    assert kept / GIB + must_be_free < gib(VALUES["rabbitmq"]["storage"])


def test_pods_trust_another_authority_beside_the_broker_s_own_before_it_changes() -> None:
    """What cert-manager writes is one authority, and a pod that runs knows the one of before."""
    for each in rendered("--set", "ca.configMap=old-and-new"):
        if each["kind"] == "Deployment":
            [volume] = [
                volume
                for volume in each["spec"]["template"]["spec"]["volumes"]
                if volume["name"] == "authorities"
            ]
            sources = {
                (source.get("configMap") or source["secret"])["name"]
                for source in volume["projected"]["sources"]
            }
            assert sources == {"old-and-new", "laundry-rabbitmq-tls"}


def gib(quantity: str) -> int:
    return int(quantity.removesuffix("Gi"))
