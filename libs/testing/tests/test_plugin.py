"""The fixtures give real servers, and each test its own share of them."""

import asyncpg
import httpx
import jwt
import pytest
from aio_pika import DeliveryMode, Message, connect

from laundry_servers.addresses import BrokerAddress
from laundry_testing.plugin import Bucket, LocalFcm, Vhost
from laundry_testing.s3 import client

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_message_goes_through_a_quorum_queue_of_the_tests_own_vhost(vhost: Vhost, turn: int) -> None:
    connection = await connect(vhost.amqp_url, timeout=10)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue("letters", durable=True, arguments={"x-queue-type": "quorum"})
        assert queue.declaration_result.message_count == 0, "another test's message"
        message = Message(f"letter {turn}".encode(), delivery_mode=DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key="letters", timeout=10)
        received = await queue.get(timeout=10)
        assert received is not None
        await received.ack()
        assert received.body == f"letter {turn}".encode()


def test_the_broker_is_rabbitmq_4_3_and_knows_no_guest(rabbitmq: BrokerAddress) -> None:
    login = (rabbitmq.username, rabbitmq.password)
    overview = httpx.get(f"{rabbitmq.management_url}/api/overview", auth=login, timeout=10).json()
    assert overview["rabbitmq_version"].startswith("4.3.")
    users = httpx.get(f"{rabbitmq.management_url}/api/users", auth=login, timeout=10).json()
    assert "guest" not in {user["name"] for user in users}
    assert (
        httpx.get(f"{rabbitmq.management_url}/api/overview", auth=("guest", "guest"), timeout=10).status_code
        == 401
    )


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_database_is_empty_and_its_role_owns_it(database_url: str, turn: int) -> None:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""), timeout=10)
    try:
        await connection.execute("CREATE TABLE towels (turn integer)")
        await connection.execute("INSERT INTO towels VALUES ($1)", turn)
        assert await connection.fetchval("SELECT sum(turn) FROM towels") == turn
        assert (
            await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        )
    finally:
        await connection.close()


async def test_a_database_refuses_a_wrong_password(database_url: str) -> None:
    url = database_url.replace("+asyncpg", "").replace(":laundry_test@", ":wrong@")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url, timeout=10)


def test_an_object_is_put_and_got_back(bucket: Bucket) -> None:
    s3 = client(bucket.store)
    s3.put_object(Bucket=bucket.name, Key="photos/one.jpg", Body=b"towels")
    assert s3.get_object(Bucket=bucket.name, Key="photos/one.jpg")["Body"].read() == b"towels"


def test_the_local_fcm_takes_a_push_and_its_identity_signs_tokens(fcm: LocalFcm) -> None:
    token = fcm.identity.mint(role="owner", branches=["b1"])
    keys = jwt.PyJWKClient(fcm.jwks_url, timeout=10)
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["ES256"],
        audience="smart-fitness-laundry",
    )
    assert (claims["role"], claims["branches"]) == ("owner", ["b1"])
    body = {"message": {"token": "phone-of-plugin-test", "notification": {"title": "t", "body": "b"}}}
    url = f"{fcm.url}/v1/projects/{fcm.project_id}/messages:send"
    answer = httpx.post(url, json=body, headers={"Authorization": "Bearer x"}, timeout=10)
    assert answer.status_code == 200
    [message] = httpx.get(f"{fcm.url}/messages", params={"token": "phone-of-plugin-test"}, timeout=10).json()
    assert (message["title"], message["body"], message["data"]) == ("t", "b", {})
