"""An outside client: it knows the addresses in ``var/stack.json`` and has tokens, nothing else."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from laundry_servers.identity import LocalIdentity

POLL_S = 0.05


class StoryFailed(Exception):
    """Part of the story did not happen; the message says what was expected and what was seen."""


class Skipped(Exception):
    """Part of the story cannot be told on this machine; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a token."""

    name: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """The header that says who is asking."""
        return {"Authorization": f"Bearer {self.token}"}


class People:
    """Mints tokens of the local identity."""

    def __init__(self, identity: LocalIdentity) -> None:
        self._identity = identity

    def person(self, role: str, name: str, *branches: str) -> Person:
        """Return somebody of this role, named ``name``, at these branches."""
        return Person(name, self._identity.mint(role=role, branches=branches, subject=name))


class Services:
    """Calls the services and turns any unexpected answer into ``StoryFailed``."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self.stack = stack
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(20, connect=5))

    async def __aenter__(self) -> "Services":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(
        self, method: str, service: str, path: str, *, who: Person | None = None, **arguments: Any
    ) -> httpx.Response:
        """Ask a service; ``service`` is a key of the stack file without ``_url``."""
        headers = {**(who.headers if who else {}), **arguments.pop("headers", {})}
        try:
            answer = await self._http.request(
                method, f"{self.stack[f'{service}_url']}{path}", headers=headers, **arguments
            )
        except httpx.HTTPError as error:
            raise StoryFailed(f"{method} {service} {path}: {type(error).__name__} {error}") from error
        if answer.is_error:
            raise StoryFailed(f"{method} {service} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer

    async def json(self, method: str, service: str, path: str, **arguments: Any) -> Any:
        """As ``call``, with the body parsed."""
        return (await self.call(method, service, path, **arguments)).json()

    async def consumed(self, metrics_url: str, queue: str) -> float:
        """How many messages of a queue a process has handled, by its own metrics; 0 while it restarts."""
        return await consumed(self._http, metrics_url, queue)

    async def pushes(self, token: str) -> list[dict[str, Any]]:
        """What a phone with this device token has received."""
        messages = await self.json("GET", "fcm", "/messages")
        return [message for message in messages if message["token"] == token]


async def consumed(client: httpx.AsyncClient, metrics_url: str, queue: str) -> float:
    """How many messages of a queue a process has handled, by its own metrics; 0 while it restarts."""
    try:
        answer = await client.get(metrics_url)
    except httpx.HTTPError:
        return 0.0
    wanted = f'laundry_events_consumed_total{{outcome="ok",queue="{queue}"}}'
    for line in answer.text.splitlines():
        if line.startswith(wanted):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


async def until(question: Callable[[], Awaitable[Any]], *, within_s: float, what: str) -> tuple[Any, float]:
    """Ask until the answer is true.

    Returns:
        the answer and how many seconds it took.

    Raises:
        StoryFailed: it did not come in time.
    """
    started = time.perf_counter()
    while True:
        answer = await question()
        took = time.perf_counter() - started
        if answer:
            return answer, took
        if took > within_s:
            raise StoryFailed(f"{what} did not come within {within_s:g} s")
        await asyncio.sleep(POLL_S)
