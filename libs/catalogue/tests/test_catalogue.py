"""The catalogue fits the topology and itself; what contradicts itself is refused."""

import json
from pathlib import Path

import pytest

from laundry_catalogue import (
    SERVICES,
    Need,
    Process,
    Service,
    broker_users,
    copies_of,
    database_owners,
    process_names,
    proxied_services,
    service,
)
from laundry_events.topology import PLAN

ROOT = Path(__file__).parents[3]


def test_every_service_of_the_topology_is_in_the_catalogue() -> None:
    assert set(broker_users()) == {each.name for each in PLAN.services}
    consumers = {queue.consumer for queue in PLAN.queues}
    assert {each.name for each in SERVICES if Need.CONSUMES in each.needs} == consumers


def test_every_folder_of_services_is_in_the_catalogue() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml")}
    assert {each.name for each in SERVICES} == folders
    for each in SERVICES:
        assert (ROOT / "services" / each.name / "src" / each.package / "__main__.py").is_file()


def test_no_two_have_a_name_or_a_port_in_common() -> None:
    names = process_names()
    assert len(names) == len(set(names))
    assert {"ai-consumer-1", "ai-consumer-2", "ai-consumer-3", "notification-faults"} <= set(names)
    ports = [each.port for each in SERVICES if each.port is not None]
    assert len(ports) == len(set(ports))
    assert database_owners()["notification"] == "notification"


@pytest.mark.parametrize("each", proxied_services(), ids=lambda each: each.name)
def test_what_is_proxied_is_part_of_the_api(each: Service) -> None:
    document = json.loads((ROOT / "docs" / "api" / f"{each.name}.openapi.json").read_text())
    offered = {path.split("/")[1] for path in document["paths"]}
    assert set(each.proxied) <= offered


def test_who_shares_a_port_has_a_name_of_its_own_and_is_found_by_the_first() -> None:
    assert Process(name="finder", copies=3).instances == ("finder", "finder-2", "finder-3")
    shared = Service(name="finder", port=8042, processes=(Process(name="finder", copies=2),))
    assert copies_of("finder", [shared]) == ("finder", "finder-2")
    assert copies_of("finder-2", [shared]) == ("finder-2",)
    assert copies_of("helper")[0] == "helper" and copies_of("ai-consumer-1") == ("ai-consumer-1",)


def test_who_calls_others_calls_services_that_listen() -> None:
    for each in SERVICES:
        assert all(service(peer).port is not None for peer in each.peers)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"name": "Lost_Towels"}, "kebab-case"),
        ({"name": "lost-towels", "needs": frozenset({Need.AUDIT})}, "database"),
        ({"name": "lost-towels", "needs": frozenset({Need.BROKER})}, "topology"),
        ({"name": "lost-towels", "proxied": ("towels",)}, "port"),
        ({"name": "lost-towels", "processes": (Process(name="finder"),)}, "first process"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Service(**given)  # type: ignore[arg-type]


def test_what_follows_from_the_name_is_filled_in() -> None:
    found = Service(name="lost-towels", port=8042)
    assert found.package == "lost_towels"
    assert found.processes == (Process(name="lost-towels"),)
    assert (found.url_key, found.port_variable) == ("lost_towels_url", "LOST_TOWELS_PORT")
    assert not found.needs
