"""What the broker is told about equipment that connects by MQTT."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from monitoring.api.mqtt_auth import may_log_in, mqtt_auth_router
from monitoring.device_limits import DeviceKey
from monitoring.device_login import NEVER, DeviceLogin, chosen_by_broker
from monitoring.service.mqtt_authorization import MqttAuthorizer
from monitoring.telemetry import is_equipment_id

VHOST, EXCHANGE = "laundry", "laundry.telemetry"
SECRET = "a-secret-of-the-broker"


class Remembered:
    """Logins in memory; ``dead`` devices may speak no more, ``held`` ones cannot be recorded."""

    def __init__(self) -> None:
        self.recorded: list[DeviceLogin] = []
        self.dead: set[str] = set()
        self.held: set[str] = set()
        self.machines: set[tuple[str, str]] = set()

    async def record(self, login: DeviceLogin) -> bool:
        self.recorded.append(login)
        return login.equipment_id not in self.held

    async def may_publish(self, equipment_id: str, client_id: str | None) -> bool:
        return equipment_id not in self.dead

    async def key_of(self, equipment_id: str, client_id: str | None) -> DeviceKey:
        return DeviceKey(equipment_id, frozenset({str(client_id).partition("/")[2] or "b1"}))

    async def equipment_exists(self, equipment_id: str, branch_id: str | None = None) -> bool:
        return any(name == equipment_id and branch_id in {None, branch} for name, branch in self.machines)


class Tokens:
    """An authenticator for which a token is who it names."""

    def __init__(self, **known: Principal) -> None:
        self.known = known

    async def check(self, token: str) -> Principal:
        if token not in self.known:
            raise Problem(401, "token-invalid", "The token is not valid.")
        return self.known[token]


AUTHORIZER = MqttAuthorizer(vhost=VHOST, exchange=EXCHANGE, logins=Remembered())
VHOSTS = ["laundry", "/", ""]
EXCHANGES = ["laundry.telemetry", "laundry.events", "amq.topic", ""]
WORDS = st.sampled_from([*VHOSTS, *EXCHANGES, "washer-1", "telemetry.washer-1", "telemetry.washer-2"])
ACTS = st.sampled_from(["exchange", "queue", "topic", "write", "read", "configure"])
NAMES = ["username", "vhost", "resource", "name", "permission", "routing_key"]
FORMS = st.dictionaries(st.sampled_from(NAMES), WORDS | ACTS)
OWN = {"username": "washer-1", "vhost": VHOST, "name": EXCHANGE, "permission": "write"}


@given(FORMS)
def test_writing_to_the_telemetry_exchange_under_its_own_key_is_all_a_device_may(
    form: dict[str, str],
) -> None:
    said = {name: form.get(name) for name in OWN}
    right = is_equipment_id(form.get("username", "")) and said == {**OWN, "username": form.get("username")}
    assert AUTHORIZER.resource(form) == (right and form.get("resource") == "exchange")
    own_key = form.get("routing_key") == f"telemetry.{form.get('username')}"
    assert AUTHORIZER.is_own_topic(form) == (right and form.get("resource") == "topic" and own_key)


def test_its_own_topic_is_allowed_and_its_subscription_is_not() -> None:
    assert AUTHORIZER.vhost({"username": "washer-1", "vhost": VHOST})
    assert not AUTHORIZER.vhost({"username": "washer-1", "vhost": "/"})
    assert AUTHORIZER.resource({**OWN, "resource": "exchange"})
    assert AUTHORIZER.is_own_topic({**OWN, "resource": "topic", "routing_key": "telemetry.washer-1"})
    queue = {"resource": "queue", "name": "mqtt-subscription-washer-1qos1"}
    for permission in ("configure", "read", "write"):
        assert not AUTHORIZER.resource({**OWN, **queue, "permission": permission})


@pytest.mark.parametrize("name", ["reported", "stream", "a.b", "a/b", "#", "*", "", "a" * 65, "한글"])
def test_names_that_would_mean_something_else_in_a_topic_are_no_equipment(name: str) -> None:
    assert not is_equipment_id(name)


async def ask(known: list[str], path: str, *, client: str = "127.0.0.1", body: str = "") -> httpx.Response:
    app = FastAPI()
    app.include_router(mqtt_auth_router(AUTHORIZER, secrets=known))
    transport = httpx.ASGITransport(app, client=(client, 1), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.post(path, content=body)


async def test_only_who_knows_the_secret_may_ask_from_elsewhere() -> None:
    body = f"username=washer-1&vhost={VHOST}"
    right = await ask([SECRET], f"/mqtt/auth/{SECRET}/vhost", client="192.0.2.1", body=body)
    assert right.text == "allow"
    for path in ("/mqtt/auth/vhost", "/mqtt/auth/wrong/vhost", f"/mqtt/auth/{SECRET}/other"):
        assert (await ask([SECRET], path, body=body)).text != "allow"
    before = "the-one-before-it"
    for either in (SECRET, before):
        assert (await ask([SECRET, before], f"/mqtt/auth/{either}/vhost", body=body)).text == "allow"
    assert (await ask([], "/mqtt/auth/vhost", body=body)).text == "allow"
    assert (await ask([], "/mqtt/auth/vhost", client="192.0.2.1", body=body)).text != "allow"


@pytest.mark.parametrize(
    "body",
    ["", "%ff%fe", "username=washer-1&username=washer-2&vhost=laundry", "&".join(["a=b"] * 50), "x" * 20_000],
)
async def test_odd_forms_are_denied(body: str) -> None:
    answer = await ask([], "/mqtt/auth/vhost", body=body)
    assert (answer.status_code, answer.text) == (200, "deny")


@pytest.mark.servers
async def test_a_device_logs_in_with_its_own_valid_token_only(world: Any) -> None:
    async with world.replica(mqtt_auth_secret=SECRET) as service:

        async def login(username: str, password: str) -> str:
            form = {"username": username, "password": password, "client_id": username, "vhost": VHOST}
            answer: httpx.Response = await service.client.post(f"/mqtt/auth/{SECRET}/user", data=form)
            return answer.text

        own = world.token("device", "b1", "b2", sub="washer-1")
        assert await login("washer-1", own) == "allow"
        assert await login("washer-2", own) == "deny"
        assert await login("washer-1", own[:-4] + "AAAA") == "deny"
        assert await login("washer-1", "") == "deny"
        assert await login("washer-1", world.token("device", "b1", sub="washer-1", seconds=-60)) == "deny"
        assert await login("washer-1", world.token("operator", sub="washer-1")) == "deny"
        assert (await service.client.post("/mqtt/auth/user", data={})).status_code == 404


def authorizer(**changes: Any) -> tuple[MqttAuthorizer, Remembered]:
    logins = Remembered()
    return MqttAuthorizer(vhost=VHOST, exchange=EXCHANGE, logins=logins, **changes), logins


TOKENS: Any = Tokens(
    mine=Principal("washer-1", "device", frozenset({"b1"}), expires_at=2e9, token_id="t1"),
    theirs=Principal("washer-10", "device", frozenset({"b1"})),
    owner=Principal("washer-1", "owner", frozenset({"b1"})),
)


@pytest.mark.parametrize(
    ("client_id", "allowed"),
    [
        ("washer-1", True),
        ("", True),
        ("washer-1/b1", True),
        ("washer-1/b1/left", True),
        ("washer-1/spare", True),
        ("washer-1/b2", False),
        ("washer-1/b2/left", False),
        ("washer-10", False),
        ("MzQ5_aB-3kq0VwXyZ01234", True),
        ("washer-of-the-third-fl", False),
        ("washer-2", False),
        ("washer-1-2", False),
        ("washer-1:2", False),
        ("Washer-1", False),
        ("washer-1 ", False),
        ("washer", False),
        ("/washer-1", False),
        (None, False),
    ],
)
async def test_a_client_id_is_the_devices_own(client_id: str | None, allowed: bool) -> None:
    asked, logins = authorizer()
    logins.machines |= {("washer-1", "b2"), ("washer-of-the-third-fl", "b1")}
    form = {"username": "washer-1", "password": "mine"}
    if client_id is not None:
        form["client_id"] = client_id
    assert await may_log_in(asked, form, TOKENS) == allowed
    assert bool(logins.recorded) == allowed


@given(st.text(max_size=20) | st.builds("{}/{}".format, st.just("washer-10"), st.text(max_size=5)))
def test_no_client_id_is_that_of_two_devices(client_id: str) -> None:
    asked, _ = authorizer()
    branches = frozenset({"b1"})
    own = [
        name
        for name in ("washer-1", "washer-10", "washer-1-0")
        if not chosen_by_broker(client_id) and asyncio.run(asked.owns_client_id(client_id, name, branches))
    ]
    assert len(own) <= 1


async def test_a_login_is_remembered_with_the_end_of_its_token() -> None:
    asked, logins = authorizer()
    assert await may_log_in(asked, {"username": "washer-1", "password": "mine", "client_id": ""}, TOKENS)
    [login] = logins.recorded
    assert (login.branches, login.token_id) == (frozenset({"b1"}), "t1")
    assert login.expires_at.timestamp() == 2e9
    assert await may_log_in(asked, {"username": "washer-10", "password": "theirs", "client_id": ""}, TOKENS)
    assert logins.recorded[-1].expires_at == NEVER


async def test_whoever_is_not_the_device_or_sends_too_much_is_refused() -> None:
    asked, logins = authorizer(wait_s=lambda device: 3.0 if device.name == "washer-10" else 0.0)
    for username, password in (
        ("washer-1", "theirs"),
        ("washer-1", "owner"),
        ("washer-1", "forged"),
        ("washer-10", "theirs"),
        (f"{VHOST}:washer-1", "mine"),
        ("washer-1", ""),
    ):
        form = {"username": username, "password": password, "client_id": ""}
        assert not await may_log_in(asked, form, TOKENS)
    assert not logins.recorded
    logins.held.add("washer-1")
    assert not await may_log_in(asked, {"username": "washer-1", "password": "mine", "client_id": ""}, TOKENS)


async def test_a_device_above_its_rate_takes_no_login_or_topic_from_its_namesake() -> None:
    login = {"username": "washer-1", "password": "mine", "client_id": ""}
    for branch in ("b1", "b2"):
        above = DeviceKey("washer-1", frozenset({branch}))
        asked, _ = authorizer(wait_s=lambda device, above=above: 3.0 if device == above else 0.0)
        assert await may_log_in(asked, login, TOKENS) == (branch == "b2")
    form = {**OWN, "resource": "topic", "routing_key": "telemetry.washer-1"}
    for branch, allowed in (("b1", True), ("b2", False)):
        assert await asked.topic({**form, "variable_map.client_id": f"washer-1/{branch}"}) == allowed


async def test_a_topic_is_denied_when_the_token_is_over() -> None:
    asked, logins = authorizer()
    form = {**OWN, "resource": "topic", "routing_key": "telemetry.washer-1"}
    assert await asked.topic(form)
    logins.dead.add("washer-1")
    assert not await asked.topic(form)
