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


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@settings(deadline=None)
@given(TEXT, TEXT, TEXT)
def test_any_login_and_vhost_survives_the_address(username: str, password: str, vhost: str) -> None:
    parts = urlsplit(amqp_url("amqp://a:b@host:5673/%2F", username=username, password=password, vhost=vhost))
    assert (parts.hostname, parts.port) == ("host", 5673)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (username, password)
    assert unquote(parts.path.removeprefix("/")) == vhost
