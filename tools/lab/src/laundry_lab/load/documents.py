"""Reads a run's JSON part by part, and says what is wrong with it: somebody may have changed it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST = 10**15
"""No number of a run is larger: microseconds of thirty years."""


class Malformed(ValueError):
    """A part is missing, or is not what it should be."""


@dataclass(frozen=True)
class Part:
    """A part of a document, with its name in messages. Each method raises Malformed."""

    value: Any
    name: str = "the document"

    def __getitem__(self, key: str) -> "Part":
        """Return a part that has to be there."""
        found = self.mapping()
        if key not in found:
            raise Malformed(f"{self._inside(key)} is missing")
        return Part(found[key], self._inside(key))

    def get(self, key: str, otherwise: Any) -> "Part":
        """Return a part that earlier versions do not have."""
        return Part(self.mapping().get(key, otherwise), self._inside(key))

    def _inside(self, key: str) -> str:
        return key if self.name == "the document" else f"{self.name}.{key}"

    def _must(self, holds: bool, what: str) -> None:
        if not holds:
            raise Malformed(f"{self.name} is {_shown(self.value)}, not {what}")

    def mapping(self) -> dict[str, Any]:
        """Return an object."""
        self._must(isinstance(self.value, dict), "an object")
        return dict(self.value)

    def items(self, number: int | None = None) -> Iterator["Part"]:
        """Yield the parts of a list, which has so many."""
        self._must(isinstance(self.value, list), "a list")
        if number is not None and len(self.value) != number:
            raise Malformed(f"{self.name} has {len(self.value)} entries, not {number}")
        return (Part(each, f"{self.name}[{turn}]") for turn, each in enumerate(self.value))

    def integer(self, least: int, most: int = MOST) -> int:
        """Return a whole number."""
        to = f" to {most}" if most < MOST else ""
        self._must(
            type(self.value) is int and least <= self.value <= most, f"a whole number from {least}{to}"
        )
        return int(self.value)

    def integers(self, least: int, most: int = MOST, *, number: int | None = None) -> list[int]:
        """Return a list of whole numbers."""
        self.items(number)
        # There may be a million of them.
        if not all(type(each) is int and least <= each <= most for each in self.value):
            for each in self.items():
                each.integer(least, most)
        return list(self.value)

    def number(self) -> float:
        """Return a number."""
        # No comparison holds of what is no number.
        self._must(type(self.value) in {int, float} and abs(self.value) <= MOST, "a number")
        return self.value  # type: ignore[no-any-return]  # whole or not: it is written again as it was

    def numbers(self) -> dict[str, Any]:
        """Return an object of numbers."""
        return {name: Part(each, f"{self.name}.{name}").number() for name, each in self.mapping().items()}

    def text(self) -> str:
        """Return a text."""
        self._must(isinstance(self.value, str), "a text")
        return str(self.value)

    def truth(self) -> bool:
        """Return true or false."""
        self._must(isinstance(self.value, bool), "true or false")
        return bool(self.value)


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
