"""The local push service reads what the standard's own sender wrote, and refuses what real ones refuse."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from laundry_servers.browser_message import BadMessage, open_message
from laundry_servers.fcm_app import make_app
from laundry_servers.identity import LocalIdentity


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# RFC 8291, section 5 and appendix A.
PRIVATE = ec.derive_private_key(
    int.from_bytes(raw("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")), ec.SECP256R1()
)
AUTH = raw("BTBZMqHH6r4Tts7J_aSIgg")
BODY = raw(
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
    "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def test_the_example_of_the_standard_is_read() -> None:
    assert open_message(BODY, PRIVATE, AUTH) == b"When I grow up, I want to be a watermelon"


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_changed_message_is_never_read(place: int, by: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= by
    # The record size alone is not part of what is authenticated.
    if 16 <= place < 20:
        return
    with pytest.raises((BadMessage, InvalidTag, ValueError)):
        open_message(bytes(changed), PRIVATE, AUTH)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=make_app(LocalIdentity(tmp_path)))
    async with httpx.AsyncClient(transport=transport, base_url="http://push") as client:
        yield client


async def test_what_is_not_pushed_as_the_standards_say_is_refused(service: httpx.AsyncClient) -> None:
    made = await service.post("/web-push/subscriptions", json={"applicationServerKey": "B" * 87})
    assert made.status_code == 201
    endpoint = made.json()["endpoint"]
    good = {"TTL": "60", "Content-Encoding": "aes128gcm", "Topic": "a" * 32, "Urgency": "high"}
    for changes, status in (
        ({}, 401),
        ({"Authorization": f"vapid t=a.b.c, k={'C' * 87}"}, 403),
        ({"Authorization": f"vapid t=a.b.c, k={'B' * 87}"}, 403),
        ({"TTL": ""}, 400),
        ({"Content-Encoding": "aesgcm"}, 400),
        ({"Urgency": "now"}, 400),
        ({"Topic": "a" * 33}, 400),
        ({"Topic": "a" * 29}, 400),
    ):
        answer = await service.post(endpoint, content=b"x" * 200, headers={**good, **changes})
        assert answer.status_code == status, (changes, answer.text)
    assert (await service.post(endpoint, content=b"x" * 4097, headers=good)).status_code == 413
    assert (await service.delete(endpoint)).status_code == 204
    assert (await service.post(endpoint, content=b"x", headers=good)).status_code == 410
    assert (await service.get("/messages")).json() == []
    refused = await service.post("/web-push/subscriptions", json={"applicationServerKey": "short"})
    assert refused.status_code == 422
