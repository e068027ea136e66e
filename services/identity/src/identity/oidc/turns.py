"""Pages take turns, so that no flood of them keeps the database's connections from everybody else.

A page may hold a connection for long: allauth waits up to a second for the count of an address, and few
passwords are hashed at once. What servers ask for (tokens, keys) takes no turn: nobody's session notices.
"""

import asyncio
import io
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from django.core.handlers.asgi import ASGIRequest
from django.utils import translation
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from identity.errors import broken, too_large
from laundry_service.limits.rates import grouped

OF_SERVERS = ("/identity/o/api/", "/.well-known/")
AT_ONCE_OF_ADDRESS = 2
# Enough for a branch whose phones all sign in at the same moment.
WAITING_OF_ADDRESS = 40
# As long as one waits for a connection.
WAIT_S = 10.0
# Of a form; the largest has a password of 1,000 characters.
MAX_BODY = 64 * 1024


@dataclass
class _Address:
    """Who wants a page from one address."""

    here: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE_OF_ADDRESS))


class TooLarge(Exception):
    """No form is as large as what is being sent."""


class TakingTurns:
    """Lets so many requests for pages through at once, of one address and of all; the others wait."""

    def __init__(self, app: ASGIApp, *, at_once: int, wait_s: float = WAIT_S) -> None:
        self.app = app
        self._turns = asyncio.Semaphore(at_once)
        self._wait_s = wait_s
        self._addresses: dict[str, _Address] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on when it is its turn; who waits too long, or with too many, may come again."""
        if scope["type"] != "http" or scope["path"].startswith(OF_SERVERS):
            await self.app(scope, receive, send)
            return
        try:
            # Whoever sends slowly keeps nobody waiting.
            whole = await _whole(receive)
        except TooLarge:
            await _refusal(scope, status=413)(scope, receive, send)
            return
        key = grouped(scope["client"][0])
        address = self._addresses.setdefault(key, _Address())
        address.here += 1
        try:
            async with AsyncExitStack() as turns:
                if await self._is_its_turn(address, turns):
                    await self.app(scope, whole, send)
                    return
            await _refusal(scope, status=503)(scope, receive, send)
        finally:
            address.here -= 1
            if not address.here:
                del self._addresses[key]

    async def _is_its_turn(self, address: _Address, turns: AsyncExitStack) -> bool:
        """Wait for a turn, which ends with ``turns``; returns whether it came."""
        if address.here > WAITING_OF_ADDRESS:
            return False
        try:
            async with asyncio.timeout(self._wait_s):
                # Its own first: those who wait for one of all are few of each address.
                await turns.enter_async_context(address.turns)
                await turns.enter_async_context(self._turns)
        except TimeoutError:
            return False
        return True


async def _whole(receive: Receive) -> Receive:
    """Return what gives the request again that has come meanwhile. Raises TooLarge."""
    messages: list[Message] = []
    size = 0
    while True:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        if size > MAX_BODY:
            raise TooLarge
        if not messages[-1].get("more_body", False):
            break

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again


def _refusal(scope: Scope, *, status: int) -> Response:
    """Make the page that says so, in the reader's language; without a connection of the database."""
    request = ASGIRequest(scope, io.BytesIO())
    with translation.override(translation.get_language_from_request(request)):
        page = too_large(request) if status == 413 else broken(request)
    return Response(page.content, page.status_code, headers=dict(page.items()))
