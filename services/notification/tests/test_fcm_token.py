"""The access token for FCM: refused, slow to come, or not coming at all."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import firebase_admin
import pytest

from notification import fcm
from notification.fcm import FirebasePusher
from notification.push import Push, PushStatus

from .service_account import TokenServer

APPLE_REFUSED_FCM = {
    "status": "UNAUTHENTICATED",
    "message": "Auth error from APNS or Web Push Service",
    "details": [
        {
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
            "errorCode": "THIRD_PARTY_AUTH_ERROR",
        }
    ],
}
TOKEN_REFUSED = {"status": "UNAUTHENTICATED", "message": "Request had invalid authentication credentials."}


class Fcm:
    """Answers each push with the next of ``refusals``, and takes it when none is left."""

    def __init__(self) -> None:
        self.refusals: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        refusals, tokens = self.refusals, self.tokens

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                tokens.append(self.headers["Authorization"].removeprefix("Bearer "))
                status, document = (401, {"error": refusals.pop(0)}) if refusals else (200, {"name": "m"})
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def google() -> Iterator[Fcm]:
    server = Fcm()
    yield server
    server.close()


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    server = TokenServer(tmp_path)
    yield server
    server.close()


Making = Callable[..., AbstractAsyncContextManager[FirebasePusher]]


@pytest.fixture
def pushing(google: Fcm, tokens: TokenServer) -> Making:
    @asynccontextmanager
    async def make(*, local: bool = False, timeout_s: float = 20) -> AsyncIterator[FirebasePusher]:
        pusher = FirebasePusher(
            url=google.url,
            credentials_file=None if local else tokens.key(),
            project_id=None,
            attempt_timeout_s=timeout_s,
        )
        await pusher.start()
        yield pusher
        await pusher.stop()

    return make


def a_push() -> Push:
    return Push("n1", "phone", {"title": "t", "body": "b"}, {"kind": "equipment_fault"}, "e1", urgent=True)


async def test_a_push_that_apple_refuses_costs_no_access_token(
    pushing: Making, google: Fcm, tokens: TokenServer
) -> None:
    """FCM answers 401 to each push for an iPhone while the APNs key is wrong; our token is good."""
    google.refusals += [APPLE_REFUSED_FCM] * 2
    async with pushing() as pusher:
        answers = [await pusher.push(a_push()) for _ in range(2)]
    assert [answer.status for answer in answers] == [PushStatus.LATER] * 2
    assert google.tokens == ["granted-1"] * 2
    assert len(tokens.asked) == 1


async def test_a_refused_access_token_is_replaced_while_the_event_loop_runs(
    pushing: Making, google: Fcm, tokens: TokenServer
) -> None:
    async with pushing() as pusher:
        assert (await pusher.push(a_push())).status is PushStatus.SENT
        google.refusals.append(TOKEN_REFUSED)
        tokens.answers.clear()
        pushed = asyncio.create_task(pusher.push(a_push()))
        began = time.monotonic()
        while len(tokens.asked) < 2:
            await asyncio.sleep(0.01)
        # Only a loop that is free gets here while the second token does not come.
        assert not pushed.done()
        assert time.monotonic() - began < 5
        tokens.answers.set()
        assert (await pushed).status is PushStatus.SENT
    assert google.tokens == ["granted-1", "granted-1", "granted-2"]


async def test_a_token_that_is_refused_again_is_asked_for_once_in_each_push(
    pushing: Making, google: Fcm, tokens: TokenServer
) -> None:
    google.refusals += [TOKEN_REFUSED] * 2
    async with pushing() as pusher:
        assert (await pusher.push(a_push())).status is PushStatus.LATER
    assert google.tokens == ["granted-1", "granted-2"]


async def test_a_local_server_may_refuse_and_takes_the_same_token_later(pushing: Making, google: Fcm) -> None:
    google.refusals.append(TOKEN_REFUSED)
    async with pushing(local=True) as pusher:
        assert (await pusher.push(a_push())).status is PushStatus.LATER
        assert (await pusher.push(a_push())).status is PushStatus.SENT


async def test_a_token_endpoint_that_hangs_keeps_no_thread_of_others(
    pushing: Making, tokens: TokenServer
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    async with pushing(timeout_s=0.1) as pusher:
        tokens.answers.clear()
        for _ in range(3):
            assert (await pusher.push(a_push())).status is PushStatus.LATER
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "begun") == "begun"
        tokens.answers.set()


async def test_a_push_that_gave_up_leaves_its_refresh_to_the_next(
    pushing: Making, tokens: TokenServer
) -> None:
    async with pushing() as pusher:
        tokens.answers.clear()
        gives_up = asyncio.create_task(pusher.push(a_push()))
        while not tokens.asked:
            await asyncio.sleep(0.01)
        gives_up.cancel()
        await asyncio.wait({gives_up})
        follows = asyncio.create_task(pusher.push(a_push()))
        await asyncio.sleep(0.1)
        tokens.answers.set()
        assert (await follows).status is PushStatus.SENT
    assert len(tokens.asked) == 1


async def test_it_stops_also_when_the_client_does_not_close(
    pushing: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(firebase_admin, "delete_app", lambda _: go_on.wait(10))
    monkeypatch.setattr(fcm, "CLOSE_WITHIN_S", 0.1)
    async with pushing(local=True):
        began = time.monotonic()
    assert time.monotonic() - began < 5
    go_on.set()
