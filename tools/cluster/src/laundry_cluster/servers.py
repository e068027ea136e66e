"""The servers that a company brings: real ones, started as the local stack's are, at the node's address.

Run in the cluster's network: python -m laundry_cluster.servers FOLDER ADDRESS. Once they are ready,
FOLDER/facts.json says what they log in with; a signal ends them.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from laundry.paths import StackPaths
from laundry.stack import secrets
from laundry.stack.preparation import make_databases
from laundry_catalogue import broker_users, database_owners
from laundry_servers import choice
from laundry_servers.choice import Kind
from laundry_servers.fcm import Fcm
from laundry_servers.files import write_json
from laundry_servers.identity import LocalIdentity
from laundry_servers.progress import Quiet

AMQP, MANAGEMENT, DATABASE, OBJECTS, PHONES = 5672, 15672, 5432, 9000, 8001
BUCKET, BACKUPS = "laundry", "backups"
CHUNK = 64 * 1024


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _offer(address: str, port: int, behind: int) -> asyncio.Server:
    """Take connections at the node's address for a server that listens on this machine only."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", behind)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, outer), _pump(inner, writer))

    return await asyncio.start_server(take, address, port)


async def _serve(folder: Path, address: str) -> None:
    paths = StackPaths(folder)
    names = list(dict.fromkeys([*broker_users(), *database_owners()]))
    kept = secrets.load(paths, names)
    LocalIdentity(paths.identity)
    phones = Fcm(paths.var, identity_folder=paths.identity)
    broker = choice.broker(Kind.NATIVE, paths.data / "rabbitmq-1", Quiet(), password=kept.broker_admin)
    database = choice.database(Kind.NATIVE, paths.data / "postgres", password=kept.database_admin)
    objects = choice.object_store(
        Kind.NATIVE, paths.data / "s3", access_key=kept.s3_access_key, secret_key=kept.s3_secret_key
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    servers = (phones, broker, database, objects)
    started = []
    try:
        for server in servers:
            server.prepare()
            started.append(server)
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(asyncio.to_thread(server.start))
        await asyncio.to_thread(
            make_databases, database.address, {name: kept.database[name] for name in database_owners()}, {}
        )
        for bucket in (BUCKET, BACKUPS):
            objects.make_bucket(bucket)
        behind = {
            AMQP: urlsplit(broker.address.amqp_url).port,
            MANAGEMENT: urlsplit(broker.address.management_url).port,
            DATABASE: database.address.port,
            OBJECTS: urlsplit(objects.address.endpoint_url).port,
            PHONES: phones.port,
        }
        for port, inner in behind.items():
            assert inner is not None
            await _offer(address, port, inner)
        write_json(
            folder / "facts.json",
            {
                **asdict(kept),
                "address": address,
                "administrator": {
                    "username": broker.address.username,
                    "password": broker.address.password,
                },
            },
        )
        await ended.wait()
    finally:
        for server in reversed(started):
            await asyncio.to_thread(server.stop)


def main() -> None:
    """Serve until a signal comes."""
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))


if __name__ == "__main__":
    main()
