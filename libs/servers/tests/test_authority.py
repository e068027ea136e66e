"""The local certificate authority, and what is said of a certificate that a side refuses."""

import socket
import ssl
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from laundry_events.refused_certificates import explained
from laundry_servers.addresses import TlsFiles
from laundry_servers.authority import Authority, read
from laundry_servers.errors import LaundryError

HOSTS = ("localhost", "127.0.0.1")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "tls")
    made.issue("server", HOSTS)
    made.issue("client")
    return made


def of_another(authority: Authority, name: str) -> None:
    """Put a file in the place of ``name`` that another authority issued."""
    other = Authority(authority.folder.parent / "other")
    other.issue(name, HOSTS)
    authority.path_of(name).write_bytes(other.path_of(name).read_bytes())


def connect(
    authority: Authority,
    *,
    host: str = "127.0.0.1",
    trusts: Path | None = None,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> None:
    """Let "client" and "server" check each other, as client and broker do. Raises what the client gets."""
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca_file)
    serving.load_cert_chain(authority.path_of("server"))
    serving.verify_mode = ssl.CERT_REQUIRED
    own = authority.path_of("client").exists()
    files = TlsFiles(authority.folder, trusts or authority.ca_file)
    calling = files.context("client" if own else None)
    calling.maximum_version = version
    here, there = socket.socketpair()

    def serve() -> None:
        with there, suppress(OSError), serving.wrap_socket(there, server_side=True) as connection:
            connection.sendall(b"welcome")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with here, calling.wrap_socket(here, server_hostname=host) as connection:
            assert connection.recv(7) == b"welcome"
    finally:
        thread.join(10)


@pytest.mark.parametrize("host", HOSTS)
def test_both_sides_know_each_other(authority: Authority, host: str) -> None:
    connect(authority, host=host)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda a: a.issue("server", HOSTS, days=-1), "The server's certificate has expired"),
        (lambda a: a.issue("server", ["example.org"]), "The server's certificate is for another host"),
        (lambda a: a.issue("server"), "The server's certificate is not one for servers"),
        (lambda a: of_another(a, "server"), "signed by an authority that is not trusted here"),
    ],
    ids=["expired", "wrong", "of-a-client", "foreign"],
)
def test_a_client_says_what_is_wrong_with_the_servers_certificate(
    authority: Authority, spoil: Callable[[Authority], object], sentence: str
) -> None:
    spoil(authority)
    with pytest.raises(ssl.SSLError) as caught:
        connect(authority)
    assert sentence in str(explained(caught.value))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda a: a.path_of("client").unlink(), "we showed none|our certificate is missing"),
        (lambda a: a.issue("client", days=-1), "our certificate has expired"),
        (lambda a: of_another(a, "client"), "signed by an authority that is not trusted there"),
    ],
    ids=["missing", "expired", "foreign"],
)
def test_a_client_says_why_the_server_refuses_its_own(
    authority: Authority, spoil: Callable[[Authority], object], sentence: str, version: ssl.TLSVersion
) -> None:
    spoil(authority)
    with pytest.raises(ssl.SSLError) as caught:
        connect(authority, version=version)
    found = str(explained(caught.value))
    assert any(each in found for each in sentence.split("|")), found


def test_an_error_of_another_kind_is_not_explained() -> None:
    assert explained(ConnectionRefusedError("nobody there")) is None


def test_a_port_without_tls_is_named() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"AMQP\0\0\x09\1")
        with pytest.raises(ssl.SSLError) as caught:
            ssl.create_default_context().wrap_socket(here, server_hostname="127.0.0.1")
    assert "speaks no TLS" in str(explained(caught.value))


def test_what_is_there_is_kept_until_it_grows_old_or_is_for_other_hosts(authority: Authority) -> None:
    before = authority.path_of("server").read_bytes()
    authority.ensure("server", HOSTS)
    assert authority.path_of("server").read_bytes() == before
    authority.ensure("server", [*HOSTS, "broker.example"])
    assert read(authority.path_of("server")).hosts == ("localhost", "broker.example", "127.0.0.1")
    authority.issue("server", HOSTS, days=-1)
    authority.ensure("server", HOSTS)
    assert read(authority.path_of("server")).not_after > datetime.now(UTC) + timedelta(days=80)


def test_one_authority_takes_the_place_of_another_in_two_steps(authority: Authority, tmp_path: Path) -> None:
    one = tmp_path / "one.pem"
    one.write_bytes(authority.ca_file.read_bytes())
    authority.replace()
    # Both are trusted, whoever of the two sides has a new certificate already.
    connect(authority)
    authority.issue("server", HOSTS)
    connect(authority)
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        connect(authority, trusts=one)
    with pytest.raises(LaundryError, match="client"):
        authority.forget()
    with pytest.raises(LaundryError, match="already"):
        authority.replace()
    authority.renew()
    authority.forget()
    assert len(authority.trusted()) == 1
    connect(authority)


def test_keys_are_their_owners_only_and_names_stay_in_the_folder(authority: Authority) -> None:
    for path in authority.folder.glob("*.pem"):
        readable = path == authority.ca_file
        assert stat.S_IMODE(path.stat().st_mode) == (0o644 if readable else 0o600), path.name
    for name in ("../server", "", "ca", "authority", ".hidden"):
        with pytest.raises(LaundryError, match="name"):
            authority.issue(name)
    (authority.folder / "odd.pem").write_text("odd")
    with pytest.raises(LaundryError, match=r"odd\.pem"):
        authority.issued()
