"""A small table whose rows are followed, and a client that keeps to the protocol."""

import asyncio
import contextlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from laundry_events.dsn import plain_dsn
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from laundry_service.streams.changes import Audience, Changes
from laundry_service.streams.response import EventStream, Streams
from laundry_service.streams.subscription import Change, change_of

Key = tuple[str, int]

TABLE = """
CREATE TABLE IF NOT EXISTS machines (id integer PRIMARY KEY, branch text NOT NULL, state integer NOT NULL);
CREATE OR REPLACE FUNCTION machine_changed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF TG_OP <> 'INSERT' THEN
    IF TG_OP = 'DELETE' OR OLD.branch <> NEW.branch THEN
      PERFORM pg_notify('machines', OLD.id || ' ' || OLD.branch);
    END IF;
  END IF;
  IF TG_OP <> 'DELETE' THEN PERFORM pg_notify('machines', NEW.id::text); END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER machine_changed AFTER INSERT OR UPDATE OR DELETE ON machines
FOR EACH ROW EXECUTE FUNCTION machine_changed();
TRUNCATE machines;
"""


class Machines:
    """The rows, and what reads those that changed. ``failures`` lets the next look-ups fail."""

    def __init__(self, database_url: str) -> None:
        self._dsn = plain_dsn(database_url)
        self.failures = 0
        self.look_ups = 0
        self._pool: asyncpg.Pool[Any]

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=3)
        await self._pool.execute(TABLE)

    async def close(self) -> None:
        await self._pool.close()

    async def execute(self, statement: str, *values: Any) -> None:
        await self._pool.execute(statement, *values)

    async def put(self, ids: Sequence[int], branch: str, state: int) -> None:
        """Write some rows in one transaction."""
        await self._pool.execute(
            "INSERT INTO machines SELECT id, $2, $3 FROM unnest($1::int[]) AS id"
            " ON CONFLICT (id) DO UPDATE SET branch = $2, state = $3",
            list(ids),
            branch,
            state,
        )

    async def hang_up(self) -> None:
        """Break the connection that listens."""
        await self._pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()"
        )

    async def listed(self, branches: Iterable[str]) -> dict[Key, int]:
        rows = await self._pool.fetch("SELECT * FROM machines WHERE branch = ANY($1)", list(branches))
        return {(row["branch"], row["id"]): row["state"] for row in rows}

    async def look_up(self, payloads: Sequence[str], _: Audience) -> Iterable[Change]:
        self.look_ups += 1
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the database is away")
        named = [payload.partition(" ") for payload in payloads]
        rows = await self._pool.fetch(
            "SELECT * FROM machines WHERE id = ANY($1)", [int(id_) for id_, _, _ in named]
        )
        there = {(row["branch"], row["id"]): row["state"] for row in rows}
        left = {(branch, int(id_)) for id_, _, branch in named if branch} - there.keys()
        return [
            *(change_of(key, key[0], event="gone", data=json.dumps(key)) for key in left),
            *(
                change_of(key, key[0], event="machine", data=json.dumps([*key, state]))
                for key, state in there.items()
            ),
        ]


class Client:
    """Follows the stream and lists as the protocol says; ``known`` is what its page shows."""

    def __init__(
        self, machines: Machines, streams: Streams, changes: Changes, branches: frozenset[str], who: str
    ) -> None:
        self._machines = machines
        self._streams = streams
        self._changes = changes
        self.principal = Principal(who, "owner", branches)
        self.known: dict[Key, int] = {}
        self.reading = asyncio.Event()
        self.reading.set()
        self.answers = asyncio.Event()
        self.answers.set()
        self.resets = 0
        self.streamed = 0
        self._leave = asyncio.Event()
        self._listing: dict[int, dict[Key, int | None]] = {}
        self._asked = 0
        self._applied = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = asyncio.create_task(self._run())

    def reconnect(self) -> None:
        """Leave; it comes back by itself."""
        self._leave.set()

    async def close(self) -> None:
        for task in [self._running, *self._tasks]:
            task.cancel()
        await asyncio.gather(self._running, *self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._leave = asyncio.Event()
            stream = EventStream(self._streams, self._changes, self.principal, topics=self.principal.branches)
            with contextlib.suppress(Problem):
                await stream({"type": "http"}, self._receive, self._send)
            await asyncio.sleep(0.01)

    async def _receive(self) -> dict[str, Any]:
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reading.wait()
        for frame in message.get("body", b"").decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
            self._take(fields.get("event", ""), fields.get("data", "{}"))

    def _take(self, event: str, data: str) -> None:
        if event in ("ready", "reset"):
            self.resets += event == "reset"
            task = asyncio.create_task(self._list())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif event == "machine":
            branch, id_, state = json.loads(data)
            self.streamed += 1
            self._change((branch, id_), state)
        elif event == "gone":
            branch, id_ = json.loads(data)
            self._change((branch, id_), None)

    def _change(self, key: Key, state: int | None) -> None:
        for meanwhile in self._listing.values():
            meanwhile[key] = state
        _apply(self.known, {key: state})

    async def _list(self) -> None:
        self._asked += 1
        asked = self._asked
        self._listing[asked] = {}
        try:
            found = await self._machines.listed(self.principal.branches)
            await self.answers.wait()
            if asked > self._applied:
                self._applied = asked
                self.known = found
                _apply(self.known, self._listing[asked])
        finally:
            del self._listing[asked]


def _apply(known: dict[Key, int], changes: dict[Key, int | None]) -> None:
    for key, state in changes.items():
        if state is None:
            known.pop(key, None)
        else:
            known[key] = state
