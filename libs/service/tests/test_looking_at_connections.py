"""The limits of all connections outlive a mistake with one."""

import pytest

from laundry_service.http.protocol import BoundedProtocol

from .raw_http import problem, served


async def test_one_connection_that_cannot_be_looked_at_takes_no_other_its_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("laundry_service.http.connections.LOOK_EVERY_S", 0.1)
    look, failed = BoundedProtocol.look, 0

    def fail_once(self: BoundedProtocol, now: float) -> None:
        nonlocal failed
        failed += 1
        if failed == 1:
            raise RuntimeError("a bug")
        look(self, now)

    monkeypatch.setattr(BoundedProtocol, "look", fail_once)
    async with served(http_header_timeout_s=0.5) as server:
        first = await server.caller()
        assert await first.rest() == b"", "nothing is known of it, so it is ended"
        second = await server.caller()
        await second.send(b"GET / HTTP/1.1\r\n")
        assert problem(await second.rest()) == (408, "header-timeout")
