"""Whose address a request has: a trusted proxy is believed, of anybody else the socket tells."""

import ipaddress
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_service.http.client_address import LOOPBACK, client_address, resolve, trusted
from laundry_service.settings import ServiceSettings

INGRESS = (*LOOPBACK, ipaddress.ip_network("10.0.0.0/8"))


@pytest.mark.parametrize(
    ("peer", "said", "expected"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("198.51.100.1", ["203.0.113.7"], "198.51.100.1"),  # anybody may write the header
        ("127.0.0.1", ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),  # said by the client itself
        ("10.1.2.3", ["6.6.6.6, 203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        ("10.1.2.3", ["6.6.6.6", "203.0.113.7", "10.9.9.9"], "203.0.113.7"),  # the header thrice
        ("10.1.2.3", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("127.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("127.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("127.0.0.1", ["2001:DB8::7"], "2001:db8::7"),
        ("::ffff:127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("::1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["203.0.113.7, unknown"], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["\x00\xff"], "127.0.0.1"),
        ("", ["203.0.113.7"], "unknown"),
    ],
)
def test_the_nearest_address_that_no_trusted_proxy_has(peer: str, said: list[str], expected: str) -> None:
    assert resolve(peer, said, INGRESS) == expected


@given(st.lists(st.text()), st.ip_addresses())
def test_what_a_stranger_says_never_moves_their_address(said: list[str], address: object) -> None:
    if not trusted(str(address), INGRESS):
        expected = resolve(str(address), [], INGRESS)
        assert resolve(str(address), said, INGRESS) == expected
        assert resolve("127.0.0.1", [*said, str(address)], INGRESS) == expected


def test_the_app_says_whom_it_trusts() -> None:
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"203.0.113.7")]}
    assert client_address(scope) == "10.0.0.1"
    app = SimpleNamespace(state=SimpleNamespace(trusted_proxies=INGRESS))
    assert client_address(scope | {"app": app}) == "203.0.113.7"
    assert client_address({"client": None, "headers": []}) == "unknown"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ["127.0.0.0/8", "::1/128"]),
        ("", []),
        ("10.0.0.0/8, 192.0.2.4", ["10.0.0.0/8", "192.0.2.4/32"]),
    ],
)
def test_the_setting_is_a_list_of_networks(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: list[str]
) -> None:
    if value is not None:
        monkeypatch.setenv("LAUNDRY_TRUSTED_PROXIES", value)
    settings = ServiceSettings(service_name="x", amqp_url="amqp://x", jwks_url="http://x", jwt_issuer="x")
    assert [str(network) for network in settings.trusted_proxies] == expected
