"""Whatever happens, in whichever order: what a client shows in the end is what the database says."""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from laundry_service.auth.principal import Principal
from laundry_service.streams import changes, response
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import Streams

from .streaming import Client, Machines

BRANCHES = ("b1", "b2", "b3")
SETTLE_S = 20.0
# As few as let bursts overflow often.
QUEUE = 8

branches = st.sampled_from(BRANCHES)
clients = st.integers(0, 2)


class Following(RuleBasedStateMachine):
    """Three clients of different branches, one process, one database."""

    database_url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.denied: set[Principal] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.run(self._begin())

    async def _begin(self) -> None:
        self.machines = Machines(self.database_url)
        await self.machines.open()
        self.changes = Changes(self.database_url, "machines", self.machines.look_up, at_most=QUEUE)
        self.streams = Streams(
            per_person=2,
            per_branch=100,
            in_all=100,
            max_s=60,
            stopping=asyncio.Event(),
            allows=lambda principal: principal not in self.denied,
        )
        await self.changes.start()
        await self.streams.start()
        mine = [frozenset({"b1"}), frozenset({"b1", "b2"}), frozenset(BRANCHES)]
        self.clients = [
            Client(self.machines, self.streams, self.changes, names, f"client-{number}")
            for number, names in enumerate(mine)
        ]

    @rule(id_=st.integers(0, 20), branch=branches, state=st.integers(0, 9))
    def commit(self, id_: int, branch: str, state: int) -> None:
        self.run(self.machines.put([id_], branch, state))

    @rule(many=st.integers(10, 600), branch=branches, state=st.integers(0, 9))
    def burst(self, many: int, branch: str, state: int) -> None:
        self.run(self.machines.put(range(many), branch, state))

    @rule(id_=st.integers(0, 20))
    def remove(self, id_: int) -> None:
        self.run(self.machines.execute("DELETE FROM machines WHERE id = $1", id_))

    @rule(ms=st.integers(0, 60))
    def time_passes(self, ms: int) -> None:
        self.run(asyncio.sleep(ms / 1000))

    @rule(client=clients, reads=st.booleans())
    def stall_or_go_on(self, client: int, reads: bool) -> None:
        _switch(self.clients[client].reading, reads)

    @rule(client=clients, answers=st.booleans())
    def hold_lists_or_let_go(self, client: int, answers: bool) -> None:
        _switch(self.clients[client].answers, answers)

    @rule(client=clients)
    def reconnect(self, client: int) -> None:
        self.clients[client].reconnect()

    @rule(client=clients)
    def token_ends(self, client: int) -> None:
        one = self.clients[client]
        self.denied.add(one.principal)
        one.principal = Principal(
            one.principal.sub, "owner", one.principal.branches, token_id=str(len(self.denied))
        )

    @rule(times=st.integers(1, 4))
    def look_ups_fail(self, times: int) -> None:
        self.machines.failures = times

    @rule()
    def database_hangs_up(self) -> None:
        self.run(self.machines.hang_up())

    def teardown(self) -> None:
        try:
            if hasattr(self, "clients"):
                self.run(self._end())
        finally:
            self.loop.close()

    async def _end(self) -> None:
        try:
            for client in self.clients:
                client.reading.set()
                client.answers.set()
            async with asyncio.timeout(SETTLE_S):
                for client in self.clients:
                    while client.known != await self.machines.listed(client.principal.branches):
                        await asyncio.sleep(0.02)
        except TimeoutError:
            for client in self.clients:
                assert client.known == await self.machines.listed(client.principal.branches)
        finally:
            for client in self.clients:
                await client.close()
            await self.streams.stop()
            await self.changes.stop()
            await self.machines.close()


def _switch(event: asyncio.Event, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()


@pytest.mark.servers
def test_a_client_that_keeps_to_the_protocol_ends_with_what_the_database_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PAUSE_S", 0.02)
    monkeypatch.setattr(response, "TICK_S", 0.02)
    monkeypatch.setattr(response, "SEND_S", 0.2)
    monkeypatch.setattr(Following, "database_url", database_url, raising=False)
    run_state_machine_as_test(
        Following,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            # A counterexample waits for its end each time: shrinking would take minutes.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
