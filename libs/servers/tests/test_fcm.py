"""The local FCM answers as FCM HTTP v1 does."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from laundry_servers.fcm_app import make_app
from laundry_servers.identity import LocalIdentity

SEND = "/v1/projects/laundry-local/messages:send"


@pytest.fixture
async def fcm(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(LocalIdentity(tmp_path))
    transport = httpx.ASGITransport(app=app)
    headers = {"Authorization": "Bearer any"}
    async with httpx.AsyncClient(transport=transport, base_url="http://fcm", headers=headers) as client:
        yield client


def push(token: str = "phone", **more: Any) -> dict[str, Any]:
    return {"message": {"token": token, "notification": {"title": "고장", "body": "세탁기 E21"}, **more}}


def code(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    return answer.status_code, error["status"], error["details"][0]["errorCode"]


async def test_a_push_is_taken_and_shown(fcm: httpx.AsyncClient) -> None:
    answer = await fcm.post(SEND, json=push(data={"event_id": "1"}, android={"priority": "high"}))
    assert answer.status_code == 200
    assert answer.json()["name"].startswith("projects/laundry-local/messages/")
    [message] = (await fcm.get("/messages")).json()
    assert message.pop("received_at").endswith("Z")
    assert message == {"token": "phone", "title": "고장", "body": "세탁기 E21", "data": {"event_id": "1"}}
    assert (await fcm.delete("/messages")).status_code == 204
    assert (await fcm.get("/messages")).json() == []


async def test_dead_and_unregistered_tokens_are_refused(fcm: httpx.AsyncClient) -> None:
    gone = (404, "NOT_FOUND", "UNREGISTERED")
    assert code(await fcm.post(SEND, json=push("dead-phone"))) == gone
    assert (await fcm.delete("/tokens/old:phone/1")).status_code == 204
    assert code(await fcm.post(SEND, json=push("old:phone/1"))) == gone
    assert (await fcm.get("/messages")).json() == []


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"{}",
        b'{"message": {"token": ""}}',
        b'{"message": {"token": "phone", "data": {"count": 1}}}',
        b'{"message": {"token": "phone", "data": {"text": "' + b"x" * 4097 + b'"}}}',
    ],
)
async def test_a_malformed_push_is_an_invalid_argument(fcm: httpx.AsyncClient, content: bytes) -> None:
    assert code(await fcm.post(SEND, content=content)) == (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert (await fcm.get("/messages")).json() == []


async def test_without_a_credential_nothing_is_taken(fcm: httpx.AsyncClient) -> None:
    answer = await fcm.post(SEND, json=push(), headers={"Authorization": ""})
    assert code(answer)[:2] == (401, "UNAUTHENTICATED")


async def test_it_fails_as_often_as_it_is_told(fcm: httpx.AsyncClient) -> None:
    control = {"status": 503, "retry_after_seconds": 7, "times": 2}
    assert (await fcm.put("/control", json=control)).status_code == 204
    for _ in range(2):
        answer = await fcm.post(SEND, json=push())
        assert code(answer) == (503, "UNAVAILABLE", "UNAVAILABLE")
        assert answer.headers["retry-after"] == "7"
    assert (await fcm.post(SEND, json=push())).status_code == 200
    await fcm.put("/control", json={"status": 429})
    assert code(await fcm.post(SEND, json=push())) == (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
    await fcm.put("/control", json={})
    assert (await fcm.post(SEND, json=push())).status_code == 200
    assert (await fcm.put("/control", json={"staus": 503})).status_code == 422


async def test_it_fails_for_some_phones_only(fcm: httpx.AsyncClient) -> None:
    await fcm.put("/control", json={"status": 429, "token_prefix": "noisy-"})
    for _ in range(2):
        assert (await fcm.post(SEND, json=push("noisy-1"))).status_code == 429
        assert (await fcm.post(SEND, json=push("calm-1"))).status_code == 200
        assert (await fcm.post(SEND, content=b"{")).status_code == 400
    await fcm.put("/control", json={"status": 503, "token_prefix": "noisy-", "times": 1})
    assert (await fcm.post(SEND, json=push("calm-1"))).status_code == 200
    assert (await fcm.post(SEND, json=push("noisy-1"))).status_code == 503
    assert (await fcm.post(SEND, json=push("noisy-1"))).status_code == 200


async def test_it_only_validates_when_asked_so(fcm: httpx.AsyncClient) -> None:
    assert (await fcm.post(SEND, json={**push(), "validate_only": True})).status_code == 200
    assert (await fcm.get("/messages")).json() == []


async def test_a_service_account_is_given_a_token_as_googles_client_reads_it(fcm: httpx.AsyncClient) -> None:
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "any"}
    answer = (await fcm.post("/token", data=grant)).json()
    assert answer["access_token"] and answer["expires_in"] > 0
