"""A database's address as asyncpg takes it."""

import re


def plain_dsn(database_url: str) -> str:
    """Turn a SQLAlchemy URL into the one that asyncpg takes."""
    plain = database_url.replace("postgresql+asyncpg://", "postgresql://", 1)
    address, mark, query = plain.partition("?")
    # In an address asyncpg knows libpq's name only.
    return address + mark + re.sub(r"(^|&)ssl=", r"\1sslmode=", query)
