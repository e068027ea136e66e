"""Changes passwords and keys of the running stack, one service after another.

Each process is restarted as by an update. Connections that are open stay open when a password changes: a
process goes on with the old one until its successor has the new one. Keys that others hold signatures of are
changed in two steps: the new one first, the old ones still taken; then (``finish``) the new one alone.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import psutil

from laundry import management
from laundry.paths import StackPaths
from laundry.stack import changes, state
from laundry.stack.restart import restart, wait_for_successor
from laundry_catalogue import (
    SERVICES,
    Need,
    Service,
    audited,
    broker_users,
    database_owners,
    letter_signers,
    service,
)
from laundry_events.broker_plan import checked
from laundry_servers.addresses import DatabaseAddress
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_json
from laundry_servers.objectstore import keys_taken
from laundry_servers.postgres import SUPERUSER, owner_of, set_password
from laundry_service.auth.rsa_keys import new_key

AMQP_URL, DATABASE_URL, LETTER_KEY = "LAUNDRY_AMQP_URL", "LAUNDRY_DATABASE_URL", "LAUNDRY_LETTER_KEY"
S3_ACCESS_KEY, S3_SECRET_KEY = "LAUNDRY_S3_ACCESS_KEY", "LAUNDRY_S3_SECRET_KEY"
OBJECT_STORE = "s3"
MOST_KEYS = 8
"""So many are taken at a time: a process gets them in its environment, and each takes time to try."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Key:
    """A key that may be followed by older ones, with commas: its place in the secrets and who reads it."""

    name: str
    variable: str
    service: str
    make: Callable[[], str]


def _text() -> str:
    return secrets.token_urlsafe(32)


KEYS = {
    "identity": Key("signing_key", "LAUNDRY_SIGNING_KEYS", "identity", new_key),
    "cookies": Key("cookie_key", "LAUNDRY_SECRET_KEYS", "identity", _text),
    "sessions": Key("session_key", "LAUNDRY_SESSION_KEYS", "web", _text),
}


class Rotation:
    """The running stack's secrets, and the processes that read them."""

    def __init__(self, paths: StackPaths, say: Say) -> None:
        """Raises LaundryError when no stack runs."""
        self._paths, self._say = paths, say
        self._stack = state.running_stack(paths)

    def broker(self, names: list[str]) -> None:
        """Give broker users new passwords. Raises LaundryError, PlanRefused."""
        target = management.of_stack(self._stack)
        for name in self._chosen(names, broker_users()):
            new = secrets.token_urlsafe(24)
            # Stored first: should this stop here, the next start of the stack sets it at the broker.
            self._keep("broker", name, new)
            with target.client() as client:
                path = f"/api/users/{quote(name, safe='')}"
                tags = checked(client.get(path)).json()["tags"]
                checked(client.put(path, json={"password": new, "tags": ",".join(tags)}))
            self._restart(service(name), AMQP_URL, new, in_address=True)

    def database(self, names: list[str]) -> None:
        """Give the databases' logins new passwords. Raises LaundryError."""
        address = self._database()
        for name in self._chosen(names, tuple(database_owners())):
            if name in audited():
                self._set(address, owner_of(name), "database_owner", name)
            new = self._set(address, name, "database", name)
            self._restart(service(name), DATABASE_URL, new, in_address=True)

    def objects(self) -> None:
        """Give the object store another pair of keys; the old one is taken until all have the new.

        Raises:
            LaundryError: the object store is not of this stack, or something did not come back.
        """
        if OBJECT_STORE not in self._stack["pids"]:
            raise LaundryError(
                "S3 is not run by this stack: make a second pair where it is, and restart with it."
            )
        kept = self._kept()
        old = (kept["s3_access_key"], kept["s3_secret_key"])
        access, secret = new = (secrets.token_hex(10).upper(), secrets.token_hex(20))
        self._take(new, old)
        write_json(self._paths.secrets_file, {**kept, "s3_access_key": access, "s3_secret_key": secret})
        given = {S3_ACCESS_KEY: access, S3_SECRET_KEY: secret}
        for each in SERVICES:
            if Need.OBJECTS in each.needs:
                for name in self._running(each):
                    restart(self._paths, name, given)
                    self._say(f"{name} has the new one")
        self._take(new)

    def _take(self, *pairs: tuple[str, str]) -> None:
        """Let the object store take these pairs alone. It is away for a moment, as in an update of it."""
        changes.change(self._paths, OBJECT_STORE, keys_taken(*pairs))
        before = self._pid(OBJECT_STORE)
        with suppress(ProcessLookupError):
            os.kill(before, signal.SIGKILL)
        wait_for_successor(self._paths, OBJECT_STORE, before)

    def letters(self, names: list[str], *, finish: bool) -> None:
        """Give consumers new keys for their dead letters. Raises LaundryError."""
        chosen, kept = self._chosen(names, letter_signers()), self._kept()["letters"]
        # All of them first: what is refused for one changes none.
        given = {name: self._next(kept[name], _text, finish=finish) for name in chosen}
        for name, those in given.items():
            rounds = [those]
            if not finish:
                # Replicas share the queues: all must accept the new key before the first signs with it.
                new, _, old = those.partition(",")
                rounds.insert(0, f"{old},{new}")
            for keys in rounds:
                self._keep("letters", name, keys)
                self._restart(service(name), LETTER_KEY, keys)

    def key(self, which: Key, *, finish: bool) -> None:
        """Give the one service that reads it a new key. Raises LaundryError."""
        new = self._next(self._kept()["sign_in"][which.name], which.make, finish=finish)
        self._keep("sign_in", which.name, new)
        self._restart(service(which.service), which.variable, new)

    @staticmethod
    def _next(before: str, make: Callable[[], str], *, finish: bool) -> str:
        """Return the keys that follow; the first signs.

        A second change before the first is finished keeps the oldest too: what it signed is under way still.
        """
        taken = before.split(",")
        if finish:
            return taken[0]
        if len(taken) >= MOST_KEYS:
            raise LaundryError(
                f"{len(taken)} keys are taken already. Withdraw the old ones first: the same with --finish."
            )
        return ",".join([make(), *taken])

    def _set(self, address: DatabaseAddress, role: str, kind: str, name: str) -> str:
        new = secrets.token_urlsafe(24)
        self._keep(kind, name, new)
        try:
            asyncio.run(set_password(address, role, new))
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise LaundryError(f"The password of {role} was not changed: {error}") from error
        return new

    def _database(self) -> DatabaseAddress:
        urls = self._stack["postgres_urls"]
        if not urls:
            raise LaundryError("The running services have no database.")
        parts = urlsplit(next(iter(urls.values())))
        return DatabaseAddress(
            str(parts.hostname), int(parts.port or 5432), SUPERUSER, self._kept()["database_admin"]
        )

    def _restart(self, of: Service, variable: str, new: str, *, in_address: bool = False) -> None:
        for name in self._running(of):
            before = psutil.Process(self._pid(name)).environ().get(variable)
            if before is None:
                continue
            restart(self._paths, name, {variable: with_password(before, new) if in_address else new})
            self._say(f"{name} has the new one")

    def _running(self, of: Service) -> Iterator[str]:
        for process in of.processes:
            yield from (name for name in process.instances if name in self._stack["pids"])

    def _pid(self, name: str) -> int:
        # Not those of the start: this restarts processes.
        found: int = state.running_stack(self._paths)["pids"][name]
        return found

    def _chosen(self, names: list[str], known: tuple[str, ...]) -> list[str]:
        if unknown := sorted(set(names) - set(known)):
            raise LaundryError(f"Not known: {', '.join(unknown)}. There are: {', '.join(known)}.")
        running = [name for name in known if any(True for _ in self._running(service(name)))]
        if absent := [name for name in names if name not in running]:
            raise state.left_out(*absent)
        return [name for name in running if not names or name in names]

    def _kept(self) -> dict[str, Any]:
        found: dict[str, Any] | None = read_json(self._paths.secrets_file)
        if found is None:
            raise LaundryError(f"{self._paths.secrets_file} is missing.")
        return found

    def _keep(self, kind: str, name: str, value: str) -> None:
        kept = self._kept()
        kept[kind][name] = value
        write_json(self._paths.secrets_file, kept)


def with_password(url: str, password: str) -> str:
    """Return an address with another password."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    user = unquote(login.partition(":")[0])
    return parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{host}").geturl()
