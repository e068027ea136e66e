"""Comparisons start servers of their own, whatever addresses the environment names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from laundry_lab.commands import compare_peers, compare_queues
from laundry_lab.compare.peers import servers
from laundry_lab.compare.peers.catalogue import PEERS
from laundry_lab.compare.peers.measuring import Size
from laundry_servers import choice, containers, given
from laundry_servers.choice import Kind
from laundry_servers.progress import Quiet


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Kind, int]]:
    """The kind and nodes of each server that is started, where addresses are given and an engine answers."""
    found: list[tuple[Kind, int]] = []

    def make(kind: Kind, *_: Any, nodes: int = 1, **__: Any) -> Any:
        found.append((kind, nodes))
        return Mock()

    for name in given.VARIABLES:
        monkeypatch.setenv(name, "http://user:password@host:1")
    monkeypatch.setattr(containers, "engine_answers", lambda: True)
    monkeypatch.setattr(choice, "broker", make)
    monkeypatch.setattr(choice, "database", make)
    return found


def test_queues_are_compared_on_a_broker_of_their_own(made: list[tuple[Kind, int]]) -> None:
    with compare_queues._broker():
        pass
    assert made == [(Kind.DOCKER, 1)]


@pytest.mark.parametrize(("nodes", "kind"), [(1, Kind.DOCKER), (3, Kind.NATIVE)])
def test_peers_are_compared_on_servers_of_their_own(
    made: list[tuple[Kind, int]], nodes: int, kind: Kind
) -> None:
    with servers.started(nodes, Quiet()):
        pass
    assert made == [(kind, nodes), (kind, 1)]


def test_the_nodes_that_there_are_stand_in_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def started(*_: Any) -> Iterator[servers.Servers]:
        yield servers.Servers(Mock(amqp_urls=["amqp://one"]), Mock(), tmp_path)

    async def nothing(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(servers, "started", started)
    monkeypatch.setattr(compare_peers, "run", nothing)
    found = compare_peers._measured([PEERS["ours"]], ["speed"], 3, 1, Size(100, 1))
    assert found.surroundings["nodes"] == 1
