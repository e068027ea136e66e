"""Addresses of servers: those that are given, and those that are written."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laundry_servers import choice
from laundry_servers import given as given_servers
from laundry_servers.addresses import amqp_url
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError


def test_given_servers_need_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in given_servers.VARIABLES:
        monkeypatch.setenv(name, "http://user:password@host:1")
    assert choice.choose().kind is Kind.GIVEN
    monkeypatch.delenv("LAUNDRY_MANAGEMENT_URL")
    with pytest.raises(LaundryError, match="LAUNDRY_MANAGEMENT_URL"):
        choice.choose(Kind.GIVEN)


def test_a_comma_in_a_password_separates_nothing() -> None:
    address = "http://admin:one,two@first:15672"
    assert given_servers.several(f"{address}, http://admin:one,two@second:15672,") == [
        address,
        address.replace("first", "second"),
    ]
    for wrong in ("amqp://user:word@first,second", "first,second", ",", ""):
        with pytest.raises(LaundryError, match="commas separate"):
            given_servers.usable(given_servers.several(wrong), given_servers.AMQP_EXAMPLE)


def test_given_brokers_are_separated_by_commas_and_their_management_is_named_without_a_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAUNDRY_AMQP_URL", "amqps://admin:p%2Fw@h1/x, amqps://admin:p%2Fw@h2/x,")
    monkeypatch.setenv("LAUNDRY_MANAGEMENT_URL", "https://admin:p%2Fw@h1:15671/, https://[::1]:15671/")
    address = given_servers.GivenRabbitMQ().address
    assert address.amqp_urls == ["amqps://admin:p%2Fw@h1/x", "amqps://admin:p%2Fw@h2/x"]
    assert address.management_urls == ["https://h1:15671", "https://[::1]:15671"]
    assert (address.username, address.password) == ("admin", "p/w")


@pytest.mark.parametrize("variable", ["LAUNDRY_AMQP_URL", "LAUNDRY_MANAGEMENT_URL"])
@pytest.mark.parametrize(
    "wrong", ["foo", ",", "{0}://a:secret@h:abc", "{0}://a:sec/ret@h:1", "{0}://", "ftp://h"]
)
def test_what_is_no_address_of_a_given_broker_is_said_and_not_repeated(
    variable: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_AMQP_URL", "amqp://a:b@h:5672")
    monkeypatch.setenv("LAUNDRY_MANAGEMENT_URL", "http://h:15672")
    monkeypatch.setenv(variable, wrong.format("amqp" if "AMQP" in variable else "http"))
    with pytest.raises(LaundryError, match="looks like") as told:
        _ = given_servers.GivenRabbitMQ().address
    assert "sec" not in str(told.value)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@settings(deadline=None)
@given(TEXT, TEXT, TEXT)
def test_any_login_and_vhost_survives_the_address(username: str, password: str, vhost: str) -> None:
    parts = urlsplit(amqp_url("amqp://a:b@host:5673/%2F", username=username, password=password, vhost=vhost))
    assert (parts.hostname, parts.port) == ("host", 5673)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (username, password)
    assert unquote(parts.path.removeprefix("/")) == vhost
