"""From rows of the database to what the domain calls them."""

from collections.abc import Iterable
from typing import TypeVar

import sqlalchemy as sa
from pydantic import TypeAdapter

T = TypeVar("T")


def read(kind: TypeAdapter[T], row: sa.RowMapping) -> T:
    """Read a row; columns that the type does not know are left out."""
    return kind.validate_python(dict(row))


def read_first(kind: TypeAdapter[T], result: sa.Result[tuple[object, ...]]) -> T | None:
    """Read the first row, None if there is none."""
    row = result.mappings().first()
    return None if row is None else read(kind, row)


def read_all(kind: TypeAdapter[T], rows: Iterable[sa.RowMapping]) -> list[T]:
    """Read rows, in their order."""
    return [read(kind, row) for row in rows]
