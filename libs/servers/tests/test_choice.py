"""How servers are provided where nobody says it."""

import pytest

from laundry_servers import choice, containers
from laundry_servers import given as given_servers
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Docker engine answers, and no addresses are given."""
    monkeypatch.setattr(containers, "engine_answers", lambda: True)
    for name in given_servers.VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def addresses(engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses are given too."""
    for name in given_servers.VARIABLES:
        monkeypatch.setenv(name, "http://user:password@host:1")


@pytest.mark.usefixtures("engine")
def test_several_nodes_are_native_though_an_engine_answers() -> None:
    assert choice.choose().kind is Kind.DOCKER
    assert choice.choose(nodes=3).kind is Kind.NATIVE
    assert "3 nodes" in choice.choose(nodes=3).reason


@pytest.mark.usefixtures("engine")
def test_what_is_asked_for_is_taken_whatever_the_nodes() -> None:
    assert choice.choose(Kind.DOCKER, nodes=3).kind is Kind.DOCKER
    assert choice.choose(Kind.NATIVE).kind is Kind.NATIVE


@pytest.mark.usefixtures("addresses")
def test_given_addresses_are_taken_but_for_servers_of_ones_own() -> None:
    assert choice.choose(nodes=3).kind is Kind.GIVEN
    assert choice.choose(own=True).kind is Kind.DOCKER
    assert choice.choose(nodes=3, own=True).kind is Kind.NATIVE


def test_without_an_engine_they_are_native(engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "engine_answers", lambda: False)
    assert choice.choose().kind is choice.choose(own=True).kind is Kind.NATIVE
    with pytest.raises(LaundryError, match="no Docker engine answers"):
        choice.choose(Kind.DOCKER)
