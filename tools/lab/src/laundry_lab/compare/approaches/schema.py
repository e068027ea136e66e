"""The tables of a design, and those that tell what became of it."""

import asyncpg

from laundry_lab.bench.scratch import make_messaging_tables
from laundry_lab.compare.approaches import work
from laundry_lab.compare.approaches.design import Design


async def make_tables(database_url: str, design: Design) -> None:
    """Make the table of effects, and what the design needs besides."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        for statement in (work.SCHEMA, *design.schema):
            await connection.execute(statement)
    finally:
        await connection.close()
    if design.broker == "rabbitmq":
        await make_messaging_tables(database_url)
