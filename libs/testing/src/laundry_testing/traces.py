"""Looks for what is left of a person: in every row, object, message and log that there is."""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import aio_pika
import asyncpg

from laundry_events.stream_reader import read_stream
from laundry_servers.addresses import ObjectStoreAddress
from laundry_testing.s3 import client

TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg_toast%'
ORDER BY 1
"""


def found_in(content: bytes, words: Iterable[str]) -> list[str]:
    """Return which words a content holds: as text, as JSON spells them, or in hexadecimal (``bytea``)."""
    low = content.lower()
    return [word for word in words if any(each in low for each in _spellings(word))]


def _spellings(word: str) -> set[bytes]:
    plain = word.lower().encode()
    escaped = word.lower().encode("ascii", "backslashreplace").lower()
    return {plain, plain.hex().encode(), escaped}


async def in_database(url: str, words: Sequence[str]) -> list[str]:
    """Name every row of every table that holds a word; the login must be allowed to read them all."""
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://", 1))
    found: list[str] = []
    try:
        for (table,) in await connection.fetch(TABLES):
            # The names come from the catalogue, quoted by it.
            for (row,) in await connection.fetch(f"SELECT t::text FROM {table} t"):  # noqa: S608
                found += [f"{table}: {word} in {row[:300]}" for word in found_in(row.encode(), words)]
    finally:
        await connection.close()
    return found


def in_bucket(store: ObjectStoreAddress, bucket: str, words: Sequence[str]) -> list[str]:
    """Name every object whose key, metadata or content holds a word."""
    s3, found = client(store), []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            key = item["Key"]
            try:
                answer = s3.get_object(Bucket=bucket, Key=key)
            except s3.exceptions.NoSuchKey:
                continue  # deleted since it was listed
            told = f"{key}\n{answer['ResponseMetadata']['HTTPHeaders']}\n{answer['Metadata']}".encode()
            found += [f"{key}: {word}" for word in found_in(told + b"\n" + answer["Body"].read(), words)]
    return found


async def in_queues(amqp_url: str, queues: Iterable[str], words: Sequence[str]) -> list[str]:
    """Name every ready message of quorum queues that holds a word; each goes back."""
    found: list[str] = []
    connection = await aio_pika.connect(amqp_url, timeout=10)
    async with connection:
        for queue in queues:
            async with connection.channel() as channel:
                source, held = await channel.get_queue(queue, ensure=False), []
                while (message := await source.get(fail=False, timeout=60)) is not None:
                    held.append(message)
                    told = f"{dict(message.headers)}\n{message.message_id}\n".encode() + message.body
                    found += [f"{queue}: {word}" for word in found_in(told, words)]
                for message in held:
                    await message.nack(requeue=True)
    return found


async def in_stream(amqp_url: str, stream: str, words: Sequence[str]) -> list[str]:
    """Name every message of a stream that holds a word."""
    found: list[str] = []
    connection = await aio_pika.connect(amqp_url, timeout=10)
    async with connection, connection.channel() as channel:
        async for message in read_stream(channel, stream):
            told = f"{dict(message.headers)}\n{message.message_id}\n".encode() + message.body
            found += [f"{stream}: {word}" for word in found_in(told, words)]
    return found


def in_files(folder: Path, words: Sequence[str]) -> list[str]:
    """Name every file below a folder that holds a word."""
    return [f"{path}: {word}" for path in _files(folder) for word in found_in(_content(path), words)]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
