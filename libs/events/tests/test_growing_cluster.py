"""A broker whose nodes are still joining answers success to a plan, and makes no queue of it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from laundry_events import broker_plan
from laundry_events.broker_plan import Target
from laundry_events.errors import PlanRefused
from laundry_events.topology import PLAN
from laundry_servers import choice, rabbitmqctl
from laundry_servers.choice import Kind
from laundry_servers.progress import Quiet
from laundry_servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.servers

HINT = "cluster_formation.target_cluster_size_hint = 3"
# As if the others had joined: the cluster is then as large as is expected.
JOINED = """
{ok, Settings} = application:get_env(rabbit, cluster_formation),
Hint = {target_cluster_size_hint, 1},
application:set_env(rabbit, cluster_formation, lists:keystore(element(1, Hint), 1, Settings, Hint)).
"""


@pytest.fixture
def lonely(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[RabbitMQ]:
    """The first of three nodes."""
    if choice.choose(Kind(pytestconfig.getoption("--laundry-servers"))).kind is not Kind.NATIVE:
        pytest.skip("a broker that is given or in a container is not asked by rabbitmqctl")
    broker = choice.broker(Kind.NATIVE, tmp_path / "rabbitmq", Quiet(), extra_config=[HINT])
    assert isinstance(broker, RabbitMQ)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def test_a_plan_is_taken_whole_once_all_nodes_are_there_or_its_lack_is_an_error(lonely: RabbitMQ) -> None:
    address = lonely.address
    target = Target(address.management_url, address.username, address.password)
    passwords = {service.name: "a-password" for service in PLAN.services}
    with pytest.raises(
        PlanRefused, match=r"lacks queues: \S+.* and \d+ more.*target_cluster_size_hint"
    ) as told:
        broker_plan.apply(target, PLAN, passwords, nodes=3, patience_s=0)
    assert "may be repeated" in str(told.value)

    def join() -> None:
        rabbitmqctl.evaluate(lonely.root, lonely.folder, JOINED, node=1, epmd_port=lonely.epmd_port)

    joining = threading.Timer(1, join)
    joining.start()
    broker_plan.apply(target, PLAN, passwords, nodes=1)
    joining.join()
    assert broker_plan.differences(target, PLAN) == []
