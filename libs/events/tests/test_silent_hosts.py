"""A connection whose other end vanishes without a word ends on both sides, within seconds."""

import importlib
import socket
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from laundry_events import outbox_rows, silent_hosts
from laundry_events.dsn import plain_dsn
from laundry_events.libraries import UnsupportedLibrary
from laundry_events.silent_hosts import notice_silence

GONE_S = 30


def over(found: socket.socket | None) -> Any:
    """A connection over a socket, as far as it is looked at here."""
    return SimpleNamespace(_transport=SimpleNamespace(get_extra_info={"socket": found}.get))


def noticed_s(found: Any) -> float:
    """After how long this end gives a silent one up."""
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, count, unacknowledged_ms = (
        found.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"))
        for name in ("KEEPIDLE", "KEEPINTVL", "KEEPCNT", "USER_TIMEOUT")
    )
    assert 0 < unacknowledged_ms <= GONE_S * 1000
    return float(idle + interval * count)


@pytest.mark.servers
@pytest.mark.parametrize(
    "connect", [lambda dsn: silent_hosts.connect(dsn, command_timeout=10), outbox_rows.connect]
)
async def test_a_session_ends_soon_after_its_host_vanished_and_fails_soon_after_its_server(
    connect: Callable[[str], Any], database_url: str
) -> None:
    connection = await connect(plain_dsn(database_url))
    told = {
        name: await connection.fetchval(f"SELECT current_setting('tcp_{name}')")
        for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
    }
    idle, interval, count = (int(told[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert 0 < idle + interval * count <= GONE_S
    assert told["user_timeout"] in ("25s", "25000")
    assert 0 < noticed_s(connection._transport.get_extra_info("socket")) <= GONE_S
    await connection.close()


@pytest.mark.servers
async def test_what_a_session_asks_for_itself_stays(database_url: str) -> None:
    connection = await outbox_rows.connect(plain_dsn(database_url))
    assert await connection.fetchval("SHOW enable_seqscan") == "off"
    assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "30s"
    await connection.close()


def test_a_system_without_an_option_has_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as found:
        before = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        with monkeypatch.context() as elsewhere:
            elsewhere.delattr(socket, "TCP_USER_TIMEOUT")
            notice_silence(over(found))
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == before
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


def test_a_socket_of_the_same_machine_is_left_alone() -> None:
    one, other = socket.socketpair()
    with one, other:
        notice_silence(over(one))
        assert not one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_connection_that_is_lost_already_fails_its_user_and_nobody_else() -> None:
    lost = socket.socket()
    lost.close()
    notice_silence(over(lost))
    notice_silence(over(None))


def test_a_driver_that_hides_its_socket_is_told_before_a_service_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as later:
        later.delattr(asyncpg.Connection, "_transport")
        with pytest.raises(UnsupportedLibrary, match=rf"asyncpg {version('asyncpg')} .*_transport"):
            importlib.reload(silent_hosts)
