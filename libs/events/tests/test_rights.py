"""Every login of the plan tries everything that the plan does not give it, on a real broker.

What is tried follows from the plan, so a new queue, exchange or service is tried too. What is refused is
compared with the plan itself, not with the permissions that were made from it.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from laundry_events.definitions import bindings, definitions, queues
from laundry_events.plan import (
    ALIVE_EXCHANGE,
    ALIVE_KEY,
    DEAD_EXCHANGE,
    EVENTS_EXCHANGE,
    REPLIES_EXCHANGE,
    REQUESTS_EXCHANGE,
    REQUEUE_EXCHANGE,
    RETRY_EXCHANGE,
    Plan,
    Service,
    reply_queues,
)
from laundry_events.topology import HISTORY, HISTORY_EXCHANGE, PLAN, TELEMETRY_EXCHANGE
from laundry_servers.addresses import amqp_url
from laundry_servers.raw_mqtt import raw_mqtt
from laundry_testing.messaging import Messaging

from .acting import Act, Connection, NotLetIn

pytestmark = pytest.mark.servers
NEW = "a-queue-of-ones-own"
EVERY_QUEUE = [queue["name"] for queue in queues(PLAN, vhost="/")]


WITH_A_QUEUE = ("get", "consume", "purge", "delete", "declare")


def replies(service: Service) -> str:
    """Return a name of a queue where answers to a service would wait."""
    return f"{reply_queues(service.name)}1"


def everything(plan: Plan) -> list[Act]:
    """Return all that can be tried with what the plan declares, and with what every broker has."""
    published = {key for service in plan.services for key in service.publishes}
    keys = {
        EVENTS_EXCHANGE: [*published, "no.such.event"],
        RETRY_EXCHANGE: [name for queue in plan.queues for name, _ in queue.retries],
        REQUEUE_EXCHANGE: EVERY_QUEUE,
        DEAD_EXCHANGE: [queue.dead for queue in plan.queues if queue.dead],
        TELEMETRY_EXCHANGE: ["telemetry.washer-1"],
        HISTORY_EXCHANGE: list(plan.queue(HISTORY).keys),
        REQUESTS_EXCHANGE: [request.name for request in plan.requests],
        REPLIES_EXCHANGE: [replies(service) for service in plan.services],
        ALIVE_EXCHANGE: [ALIVE_KEY],
        # The nameless one leads to every queue by its name.
        "": EVERY_QUEUE,
        "amq.topic": ["telemetry.washer-1"],
        "amq.fanout": ["any"],
    }
    assert keys.keys() >= {exchange.name for exchange in plan.exchanges}
    acts: list[Act] = [("publish", exchange, key) for exchange, some in keys.items() for key in sorted(some)]
    for queue in [*EVERY_QUEUE, *map(replies, plan.services)]:
        acts += [(kind, queue) for kind in WITH_A_QUEUE]
        acts.append(("bind", queue, EVENTS_EXCHANGE, "#"))
    acts += [("bind", replies(each), REPLIES_EXCHANGE, replies(each)) for each in plan.services]
    acts.append(("declare", NEW))
    for exchange in plan.exchanges:
        acts += [(f"{kind}-exchange", exchange.name) for kind in ("declare", "delete")]
        acts.append(("bind-exchange", "amq.topic", exchange.name, "#"))
    acts.append(("declare-exchange", NEW))
    for binding in bindings(plan, vhost="/"):
        suffix = "" if binding["destination_type"] == "queue" else "-exchange"
        ends = (binding["destination"], binding["source"], binding["routing_key"])
        acts += [(f"{kind}{suffix}", *ends) for kind in ("bind", "unbind")]
    return list(dict.fromkeys(acts))


def rights(plan: Plan, service: Service) -> set[Act]:
    """Return what the plan gives to a service."""
    own = plan.consumed_by(service.name)
    work = [queue for queue in own if queue.kind == "quorum"]
    found: set[Act] = {("publish", EVENTS_EXCHANGE, key) for key in service.publishes}
    found |= {("publish", RETRY_EXCHANGE, name) for queue in work for name, _ in queue.retries}
    found |= {("publish", DEAD_EXCHANGE, str(queue.dead)) for queue in work}
    for queue in plan.queues:
        if queue.exchange in service.exchanges:
            found |= {("publish", queue.exchange, key) for key in queue.keys}
    readable = [queue.name for queue in own]
    for request in plan.requests:
        if request.answered_by == service.name:
            readable.append(request.name)
            [asker] = [each for each in plan.services if each.name == request.asked_by]
            found.add(("publish", REPLIES_EXCHANGE, replies(asker)))
        if request.asked_by == service.name:
            found.add(("publish", REQUESTS_EXCHANGE, request.name))
            found |= {(kind, replies(service)) for kind in WITH_A_QUEUE}
            found.add(("bind", replies(service), REPLIES_EXCHANGE, replies(service)))
    if service.operates:
        dead = [queue for queue in plan.queues if queue.dead]
        found |= {("publish", REQUEUE_EXCHANGE, queue.name) for queue in dead}
        readable += [str(queue.dead) for queue in dead]
    # To empty a queue the broker asks for no more than to read it.
    found |= {(kind, name) for name in readable for kind in ("get", "consume", "purge")}
    if work:
        # Who may repeat the binding that carries nothing may remove it, too.
        ends = (RETRY_EXCHANGE, ALIVE_EXCHANGE, ALIVE_KEY)
        found |= {(f"{kind}-exchange", *ends) for kind in ("bind", "unbind")}
    return found


@dataclass(frozen=True, slots=True)
class Logins:
    """A virtual host with a user for each service of the plan, by its name there."""

    messaging: Messaging
    password: str

    def name(self, service: str) -> str:
        return f"{service}-{self.messaging.vhost}"

    def url(self, service: str) -> str:
        broker, vhost = self.messaging.broker, self.messaging.vhost
        return amqp_url(broker.amqp_url, username=self.name(service), password=self.password, vhost=vhost)


@pytest.fixture
def broker_plan() -> Plan:
    """Return the whole plan: every queue is tried."""
    return PLAN


@pytest_asyncio.fixture
async def logins(messaging: Messaging) -> AsyncIterator[Logins]:
    broker, found = messaging.broker, Logins(messaging, secrets.token_hex(16))
    passwords = {service.name: found.password for service in PLAN.services}
    document = definitions(PLAN, passwords, vhost=messaging.vhost)
    own = {
        "users": [{**user, "name": found.name(user["name"])} for user in document["users"]],
        **{
            kind: [{**each, "user": found.name(each["user"])} for each in document[kind]]
            for kind in ("permissions", "topic_permissions")
        },
    }
    login = (broker.username, broker.password)
    async with httpx.AsyncClient(base_url=broker.management_url, auth=login, timeout=30) as administrator:
        (await administrator.post("/api/definitions", json=own)).raise_for_status()
        yield found
        names = [user["name"] for user in own["users"]]
        gone = await administrator.post("/api/users/bulk-delete", json={"users": names})
        gone.raise_for_status()


def test_every_login_is_refused_all_that_the_plan_does_not_give_it(logins: Logins) -> None:
    acts = everything(PLAN)
    for service in PLAN.services:
        allowed = rights(PLAN, service)
        # Who may read a stream cannot get or purge it all the same, and the broker ends the connection.
        streams = {
            (kind, queue.name)
            for queue in PLAN.consumed_by(service.name)
            for kind in ("get", "purge")
            if queue.kind == "stream"
        }
        with Connection(logins.url(service.name)) as connection:
            refused = connection.refused([act for act in acts if act not in streams])
        forbidden = set(acts) - allowed
        assert forbidden - refused == set(), f"{service.name} may do what it must not"
        assert refused & allowed == set(), f"{service.name} may not do what it must"


MANAGED: list[tuple[str, str, Mapping[str, Any] | None]] = [
    ("GET", "/users", None),
    ("GET", "/definitions", None),
    ("POST", "/definitions", {"users": [{"name": "x", "password": "x", "tags": "administrator"}]}),
    ("PUT", "/vhosts/x", {}),
    ("DELETE", "/vhosts/{vhost}", None),
    ("PUT", "/users/x", {"password": "x", "tags": "administrator"}),
    ("PUT", "/users/{user}", {"password": "x", "tags": "administrator"}),
    ("PUT", "/permissions/{vhost}/{user}", {"configure": ".*", "write": ".*", "read": ".*"}),
    ("PUT", "/topic-permissions/{vhost}/{user}", {"exchange": EVENTS_EXCHANGE, "write": ".*", "read": ".*"}),
    ("PUT", "/policies/{vhost}/x", {"pattern": ".*", "definition": {"max-length": 0}}),
    ("DELETE", "/policies/{vhost}/task.read", None),
    ("PUT", "/operator-policies/{vhost}/x", {"pattern": ".*", "definition": {"max-length": 0}}),
    ("PUT", "/queues/{vhost}/x", {"durable": True}),
    ("DELETE", "/queues/{vhost}/task.read", None),
    ("DELETE", "/queues/{vhost}/task.read/contents", None),
    (
        "POST",
        "/queues/{vhost}/task.read/get",
        {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"},
    ),
    (
        "POST",
        "/exchanges/{vhost}/laundry.events/publish",
        {"properties": {}, "routing_key": "task.read", "payload": "{}", "payload_encoding": "string"},
    ),
    ("DELETE", "/exchanges/{vhost}/laundry.events", None),
    ("POST", "/bindings/{vhost}/e/laundry.events/q/task.read", {"routing_key": "#"}),
    ("PUT", "/vhost-limits/{vhost}/max-connections", {"value": 0}),
    ("PUT", "/user-limits/{user}/max-connections", {"value": 100}),
    ("PUT", "/global-parameters/x", {"value": 1}),
    ("DELETE", "/feature-flags/x", None),
]


async def test_the_management_api_changes_nothing_for_any_login(logins: Logins) -> None:
    broker, vhost = logins.messaging.broker, logins.messaging.vhost
    async with httpx.AsyncClient(base_url=f"{broker.management_url}/api", timeout=30) as client:
        for service in PLAN.services:
            user = logins.name(service.name)
            for method, path, body in MANAGED:
                answer = await client.request(
                    method, path.format(vhost=vhost, user=user), json=body, auth=(user, logins.password)
                )
                said = answer.text.lower()
                refused = answer.status_code in (401, 403, 405) or ("access" in said and "refused" in said)
                assert refused, (service.name, method, path, answer.status_code, answer.text)
            seen = await client.get(f"/queues/{vhost}", auth=(user, logins.password))
            assert seen.is_success == service.operates, service.name
        login = (broker.username, broker.password)
        still = await client.get(f"/queues/{vhost}", auth=login)
        assert {queue["name"] for queue in still.json()} == set(EVERY_QUEUE)
        assert (await client.get("/users/guest", auth=login)).status_code == 404
        assert (await client.get("/whoami", auth=("guest", "guest"))).status_code == 401


def test_guest_is_gone(messaging: Messaging) -> None:
    url = messaging.broker.amqp_url
    for vhost in ("/", messaging.vhost):
        with pytest.raises(NotLetIn):
            Connection(amqp_url(url, username="guest", password="guest", vhost=vhost))


TOPICS = ("telemetry/#", "#", "telemetry/washer-1", "task/submitted", "$share/all/telemetry/#")


async def test_no_login_of_a_service_reads_or_writes_anything_by_mqtt(logins: Logins) -> None:
    url, vhost = logins.messaging.broker.mqtt_url, logins.messaging.vhost
    for service in PLAN.services:
        login = (f"{vhost}:{logins.name(service.name)}", logins.password)
        for number, topic in enumerate(TOPICS):
            async with raw_mqtt(url, f"{login[0]}-{number}", *login) as client:
                assert not await client.subscribe(topic), (service.name, topic)
        for topic in ("telemetry/washer-1", "task/submitted"):
            async with raw_mqtt(url, f"{login[0]}-{topic}", *login) as client:
                assert not await client.publish(topic, b"{}"), (service.name, topic)
