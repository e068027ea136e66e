"""Sends a load's requests: what the client takes of the cores is missing to what it measures.

aiohttp, whose parser and writer are compiled, takes 0.6 ms of processor time for an upload of 20 KB. httpx,
with which everything else here asks, takes 3.7 on the same two cores.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

ANSWER_S = 30.0

SEND_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
"""What ``Sender.post`` raises where no whole answer came."""


@dataclass(frozen=True)
class Answer:
    """An answer, whole."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON. Raises ValueError."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text, for a message."""
        return self.body.decode(errors="replace")


class Sender:
    """Posts to one server over connections that are kept."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Take an open session."""
        self._session = session

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post and wait for the whole answer. Raises one of ``SEND_ERRORS``."""
        async with self._session.post(path, data=body, headers=headers, allow_redirects=False) as answer:
            return Answer(answer.status, await answer.read())


@asynccontextmanager
async def sender_to(url: str, *, connections: int = 64) -> AsyncIterator[Sender]:
    """Open a sender to the server at ``url``; further requests wait while ``connections`` are busy."""
    async with aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=ANSWER_S),
    ) as session:
        yield Sender(session)
