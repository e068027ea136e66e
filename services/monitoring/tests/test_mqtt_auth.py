"""What the broker is told about equipment that connects by MQTT."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from monitoring.mqtt_auth import DeviceGate, mqtt_auth_router
from monitoring.telemetry import is_equipment_id

VHOST, EXCHANGE = "laundry", "laundry.telemetry"
SECRET = "a-secret-of-the-broker"


async def _forget(_: str, __: frozenset[str]) -> None:
    pass


GATE = DeviceGate(vhost=VHOST, exchange=EXCHANGE, note_login=_forget)
VHOSTS = ["laundry", "/", ""]
EXCHANGES = ["laundry.telemetry", "laundry.events", "amq.topic", ""]
WORDS = st.sampled_from([*VHOSTS, *EXCHANGES, "washer-1", "telemetry.washer-1", "telemetry.washer-2"])
ACTS = st.sampled_from(["exchange", "queue", "topic", "write", "read", "configure"])
NAMES = ["username", "vhost", "resource", "name", "permission", "routing_key"]
FORMS = st.dictionaries(st.sampled_from(NAMES), WORDS | ACTS)
OWN = {"username": "washer-1", "vhost": VHOST, "name": EXCHANGE, "permission": "write"}


@given(FORMS)
def test_writing_to_the_telemetry_exchange_under_its_own_key_is_all_a_device_may(form: dict) -> None:
    said = {name: form.get(name) for name in OWN}
    right = is_equipment_id(form.get("username", "")) and said == {**OWN, "username": form.get("username")}
    assert GATE.resource(form) == (right and form.get("resource") == "exchange")
    own_key = form.get("routing_key") == f"telemetry.{form.get('username')}"
    assert GATE.topic(form) == (right and form.get("resource") == "topic" and own_key)


def test_its_own_topic_is_allowed_and_its_subscription_is_not() -> None:
    assert GATE.vhost({"username": "washer-1", "vhost": VHOST})
    assert not GATE.vhost({"username": "washer-1", "vhost": "/"})
    assert GATE.resource({**OWN, "resource": "exchange"})
    assert GATE.topic({**OWN, "resource": "topic", "routing_key": "telemetry.washer-1"})
    queue = {"resource": "queue", "name": "mqtt-subscription-washer-1qos1"}
    for permission in ("configure", "read", "write"):
        assert not GATE.resource({**OWN, **queue, "permission": permission})


@pytest.mark.parametrize("name", ["reported", "stream", "a.b", "a/b", "#", "*", "", "a" * 65, "한글"])
def test_names_that_would_mean_something_else_in_a_topic_are_no_equipment(name: str) -> None:
    assert not is_equipment_id(name)


async def ask(secret: str | None, path: str, *, client: str = "127.0.0.1", body: str = "") -> httpx.Response:
    app = FastAPI()
    app.include_router(mqtt_auth_router(GATE, secret=secret))
    transport = httpx.ASGITransport(app, client=(client, 1), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.post(path, content=body)


async def test_only_who_knows_the_secret_may_ask_from_elsewhere() -> None:
    body = f"username=washer-1&vhost={VHOST}"
    right = await ask(SECRET, f"/mqtt/auth/{SECRET}/vhost", client="192.0.2.1", body=body)
    assert right.text == "allow"
    for path in ("/mqtt/auth/vhost", "/mqtt/auth/wrong/vhost", f"/mqtt/auth/{SECRET}/other"):
        assert (await ask(SECRET, path, body=body)).text != "allow"
    assert (await ask(None, "/mqtt/auth/vhost", body=body)).text == "allow"
    assert (await ask(None, "/mqtt/auth/vhost", client="192.0.2.1", body=body)).text != "allow"


@pytest.mark.parametrize(
    "body",
    ["", "%ff%fe", "username=washer-1&username=washer-2&vhost=laundry", "&".join(["a=b"] * 50), "x" * 20_000],
)
async def test_odd_forms_are_denied(body: str) -> None:
    answer = await ask(None, "/mqtt/auth/vhost", body=body)
    assert (answer.status_code, answer.text) == (200, "deny")


@pytest.mark.servers
async def test_a_device_logs_in_with_its_own_valid_token_only(world: Any) -> None:
    async with world.replica(mqtt_auth_secret=SECRET) as service:

        async def login(username: str, password: str) -> str:
            form = {"username": username, "password": password, "client_id": "c1", "vhost": VHOST}
            return (await service.client.post(f"/mqtt/auth/{SECRET}/user", data=form)).text

        own = world.token("device", "b1", "b2", sub="washer-1")
        assert await login("washer-1", own) == "allow"
        assert await login("washer-2", own) == "deny"
        assert await login("washer-1", own[:-4] + "AAAA") == "deny"
        assert await login("washer-1", "") == "deny"
        assert await login("washer-1", world.token("device", "b1", sub="washer-1", seconds=-60)) == "deny"
        assert await login("washer-1", world.token("operator", sub="washer-1")) == "deny"
        assert (await service.client.post("/mqtt/auth/user", data={})).status_code == 404
