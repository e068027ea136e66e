"""What worker processes report, as lines of JSON of bounded length: a long list goes ahead in pieces."""

from collections.abc import Iterator, Mapping
from typing import Any

PIECE = "piece"
MOST = 20_000
"""Entries of a list in one line: even of a hundred bytes each they are a thirtieth of ``LINE_BYTES``."""

Path = tuple[str, ...]


def lines(what: str, found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a report, which ``Joined`` puts together again."""
    long: list[tuple[Path, list[Any]]] = []
    rest = _shortened(found, (), long)
    for path, items in long:
        for first in range(0, len(items), MOST):
            yield {"said": PIECE, "of": path, "items": items[first : first + MOST]}
    yield {"said": what, **rest}


def _shortened(found: Mapping[str, Any], path: Path, long: list[tuple[Path, list[Any]]]) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            rest[name] = _shortened(value, (*path, name), long)
        elif isinstance(value, list) and len(value) > MOST:
            rest[name] = []
            long.append(((*path, name), value))
        else:
            rest[name] = value
    return rest


class Joined:
    """Puts the pieces of a report together."""

    def __init__(self) -> None:
        self._pieces: dict[Path, list[Any]] = {}

    def take(self, line: dict[str, Any]) -> dict[str, Any] | None:
        """Return the report that a line completes; None if it is a piece."""
        if line["said"] == PIECE:
            self._pieces.setdefault(tuple(line["of"]), []).extend(line["items"])
            return None
        pieces, self._pieces = self._pieces, {}
        for (*parents, name), items in pieces.items():
            inside = line
            for parent in parents:
                inside = inside[parent]
            inside[name] = items
        return line
