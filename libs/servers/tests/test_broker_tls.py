"""A cluster of three nodes behind HAProxy that speaks nothing but TLS: to clients, and between its nodes."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aio_pika
import httpx
import pytest
import pytest_asyncio
import structlog

from laundry_events import Publisher
from laundry_events.refused_certificates import explained
from laundry_events.topology import PLAN
from laundry_servers import choice
from laundry_servers.addresses import TlsFiles
from laundry_servers.authority import Authority
from laundry_servers.choice import Kind
from laundry_servers.rabbitmq_tls import HOSTS
from laundry_service.telemetry.certificates import certificate_shown
from laundry_testing.messaging import eventually

from .tls_cluster import CLIENT, NODES, VHOST, Cluster, Load, tls_cluster, under_load

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if choice.choose(Kind(pytestconfig.getoption("--laundry-servers"))).kind is not Kind.NATIVE:
        pytest.skip("TLS is set up for native brokers")
    with tls_cluster(tmp_path_factory.mktemp("tls")) as cluster:
        yield cluster


def test_every_listener_is_encrypted_and_there_is_no_other(cluster: Cluster) -> None:
    address = cluster.server.address
    answer = httpx.get(
        f"{address.management_url}/api/overview",
        auth=(address.username, address.password),
        verify=address.verify,
        timeout=10,
    ).json()
    offered = {each["protocol"] for each in answer["listeners"]}
    assert offered == {"amqp/ssl", "mqtt/ssl", "https", "https/prometheus", "clustering/ssl"}
    metrics = httpx.get(address.prometheus_urls[0], verify=address.verify, timeout=10)
    assert "rabbitmq_identity_info" in metrics.text
    for url in (*address.amqp_urls, address.mqtt_url, address.amqp_url):
        port = urlsplit(url).port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            first = b""
            with contextlib.suppress(ConnectionResetError):
                plain.sendall(b"AMQP\0\0\x09\1" + bytes(64))
                first = plain.recv(100)[:1]
            # At most the alert of TLS (record type 21), and the end.
            assert first in (b"", b"\x15")


def asked(cluster: Cluster, path: str) -> Any:
    """What the management API says, asked through HAProxy."""
    proxy = cluster.server.proxy
    assert proxy is not None
    answer = httpx.get(
        f"https://127.0.0.1:{proxy.front.management}/api/{path}",
        auth=(cluster.server.username, cluster.server.password),
        verify=cluster.server.address.verify,
        timeout=60,
    )
    return answer.raise_for_status().json()


def test_definitions_that_are_read_at_boot_give_each_queue_a_member_on_every_node(cluster: Cluster) -> None:
    queues = {each["name"]: each for each in asked(cluster, f"queues/{VHOST}")}
    assert queues.keys() >= {queue.name for queue in PLAN.queues}
    assert {len(each["members"]) for each in queues.values()} == {NODES}


async def test_every_replica_of_a_stream_runs(cluster: Cluster) -> None:
    """They reach each other by the name of the machine, which the certificates must have."""

    def running() -> set[int]:
        return {len(each["online"]) for each in asked(cluster, f"queues/{VHOST}") if each["type"] == "stream"}

    async def all_run() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return await asyncio.to_thread(running) == {NODES}
        return False

    await eventually(all_run, within_s=90, what="a replica on every node")


async def test_a_node_that_cannot_serve_gets_nobody_until_it_can(cluster: Cluster) -> None:
    """It still listens: only its management API tells that it is full."""

    def answering() -> int:
        return len({asked(cluster, "overview")["node"] for _ in range(2 * NODES)})

    async def are(count: int) -> bool:
        # A full node breaks off connections until the next check finds that.
        with contextlib.suppress(httpx.TransportError):
            return await asyncio.to_thread(answering) == count
        return False

    def limit(most: str) -> None:
        cluster.evaluate(f"application:set_env(rabbit, connection_max, {most}).", node=2)

    await eventually(lambda: are(NODES), what="answers of every node")
    await asyncio.to_thread(limit, "0")
    try:
        await eventually(lambda: are(NODES - 1), what="a node that is skipped")
        for _ in range(NODES):
            await (await aio_pika.connect(cluster.url(), timeout=10)).close()
    finally:
        await asyncio.to_thread(limit, "infinity")
    await eventually(lambda: are(NODES), what="the node again")


def test_nodes_speak_tls_with_each_other_and_take_no_stranger(cluster: Cluster) -> None:
    port = cluster.server.dist_ports[1]
    own = cluster.authority.path_of("rabbitmq-1")
    shown = certificate_shown("127.0.0.1", port, own=own)
    assert shown.subject.rfc4514_string() == "CN=rabbitmq-2"
    with pytest.raises(OSError, match=r".+") as caught:
        _listen(port, TlsFiles(cluster.authority.folder, cluster.authority.ca_file).context())
    assert "The server refuses us" in str(explained(caught.value))


def _listen(port: int, context: ssl.SSLContext) -> None:
    """Connect and wait for a first byte: what a server of TLS 1.3 thinks of a client comes only then.

    Nothing is sent: a server that closes with something unread resets the connection, and its reason is lost.
    """
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.recv(1)


def of_a_stranger(cluster: Cluster, folder: Path) -> Path:
    """Return a client's certificate that another authority issued."""
    other = Authority(folder / "other")
    other.issue(CLIENT)
    return other.path_of(CLIENT)


def expired(cluster: Cluster, folder: Path) -> Path:
    """Return a client's certificate that is over."""
    copy = Authority(folder / "copy")
    shutil.copytree(cluster.authority.folder, copy.folder)
    return copy.issue(CLIENT, days=-1)


BAD: list[tuple[Callable[[Cluster, Path], Path] | None, str]] = [
    (None, "demands a certificate of us"),
    (expired, "our certificate has expired"),
    (of_a_stranger, "an authority that is not trusted there"),
]


@pytest.mark.parametrize(("make", "sentence"), BAD, ids=["missing", "expired", "foreign"])
async def test_a_client_without_a_good_certificate_cannot_log_in(
    cluster: Cluster, tmp_path: Path, make: Callable[[Cluster, Path], Path] | None, sentence: str
) -> None:
    address, ca = cluster.server.address, cluster.authority.ca_file
    own = make(cluster, tmp_path) if make else None
    query = f"?cafile={ca}" + (f"&certfile={own}&keyfile={own}" if own else "")
    publisher = Publisher(cluster.url().partition("?")[0] + query, source="tests")
    with structlog.testing.capture_logs() as said:
        await publisher.start()
        await eventually(
            lambda: any(sentence in str(line.get("reason")) for line in said), what="the sentence"
        )
        await asyncio.sleep(1.5)
        await publisher.stop()
    told = [line for line in said if line["event"] == "no connection to the broker"]
    assert len(told) == 1, "once, not at every attempt"
    context = ssl.create_default_context(cafile=ca)
    if own:
        context.load_cert_chain(own)
    # By a socket of our own: aiomqtt waits out its limit and does not tell why.
    with pytest.raises(OSError, match=r".+") as refused:
        await asyncio.to_thread(_listen, urlsplit(address.mqtt_url).port or 0, context)
    assert sentence in str(explained(refused.value))


async def test_a_broker_without_a_good_certificate_is_not_spoken_to(cluster: Cluster, tmp_path: Path) -> None:
    authority, other, node = cluster.authority, Authority(tmp_path / "other"), "rabbitmq-2"
    path = authority.path_of(node)
    good = path.read_bytes()
    spoiled: dict[str, Callable[[], object]] = {
        "has expired": lambda: authority.issue(node, HOSTS, days=-1),
        "is for another host": lambda: authority.issue(node, ["broker.example"]),
        "an authority that is not trusted here": lambda: path.write_bytes(
            other.issue(node, HOSTS).read_bytes()
        ),
    }
    try:
        for sentence, spoil in spoiled.items():
            spoil()
            cluster.reload()
            with pytest.raises(OSError, match=r".+") as caught:
                await aio_pika.connect(cluster.url(1), timeout=10)
            assert sentence in str(explained(caught.value))
        # The others are as they were.
        await (await aio_pika.connect(cluster.url(0), timeout=10)).close()
    finally:
        path.write_bytes(good)
        cluster.reload()
    await (await aio_pika.connect(cluster.url(1), timeout=10)).close()


@pytest_asyncio.fixture
async def load(cluster: Cluster) -> AsyncIterator[Load]:
    async with under_load(cluster) as load:
        yield load


async def _all_reconnect(cluster: Cluster) -> bool:
    """Close the publisher's and the consumer's connection at the broker; false if one is not seen yet."""
    address = cluster.server.address
    login: Any = (address.username, address.password)
    async with httpx.AsyncClient(
        base_url=address.management_url, auth=login, verify=address.verify, timeout=10
    ) as client:
        found = (await client.get("/api/connections")).raise_for_status().json()
        if len(found) < 2:
            return False
        for each in found:
            await client.delete(f"/api/connections/{quote(each['name'], safe='')}")
    return True


async def test_certificates_and_their_authority_are_replaced_under_load(cluster: Cluster, load: Load) -> None:
    authority = cluster.authority

    async def in_force() -> None:
        """The new files count at every node, while messages go on; then everybody reconnects."""
        await asyncio.to_thread(cluster.reload)
        issued = {each.name: each.certificate.serial_number for each in authority.issued()}
        for node in range(NODES):
            assert await asyncio.to_thread(cluster.shows, node) == issued[f"rabbitmq-{node + 1}"]
        await load.goes_on()
        await eventually(lambda: _all_reconnect(cluster), what="two connections")
        await load.goes_on()

    await load.goes_on()
    first = {cluster.shows(node) for node in range(NODES)}
    authority.renew()
    await in_force()
    assert first.isdisjoint({cluster.shows(node) for node in range(NODES)})

    authority.replace()
    await in_force()
    authority.renew()
    await in_force()
    old = authority.trusted()[1]
    authority.forget()
    await in_force()
    assert old not in authority.trusted()

    count = len(load.confirmed)
    await eventually(lambda: load.confirmed <= load.arrived, what=f"all of {count} confirmed messages")
    assert load.confirmed - load.arrived == set(), f"lost of {len(load.confirmed)}"


async def test_who_is_of_the_old_authority_is_refused_once_it_is_forgotten(
    cluster: Cluster, tmp_path: Path
) -> None:
    before = tmp_path / "before.pem"
    shutil.copy(cluster.authority.path_of(CLIENT), before)
    for step in (cluster.authority.replace, cluster.authority.renew, cluster.authority.forget):
        step()
        cluster.reload()
    query = f"?cafile={cluster.authority.ca_file}&certfile={before}&keyfile={before}"
    with pytest.raises(OSError, match=r".+") as caught:
        await aio_pika.connect(cluster.url().partition("?")[0] + query, timeout=10)
    assert "an authority that is not trusted there" in str(explained(caught.value))
