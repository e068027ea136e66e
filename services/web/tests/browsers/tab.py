"""What a protocol between tests and a browser has to offer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol


class Tab(Protocol):
    """What a protocol has to offer: an open tab."""

    async def goto(self, address: str) -> None:
        """Open an address and wait until it is loaded."""

    async def reload(self) -> None:
        """Load what is open again."""

    async def run(self, body: str) -> Any:
        """Run the body of an asynchronous function and return what it returns, which is JSON."""

    async def element(self, body: str) -> Any:
        """Run the body of an asynchronous function that returns an element or null; return its reference."""

    async def click(self, element: Any) -> bool:
        """Click as a mouse does; False if the element is gone or covered by now."""

    async def choose(self, element: Any, files: Sequence[Path]) -> None:
        """Choose files as a person does."""

    async def resize(self, width: int, height: int) -> None:
        """Set how large the page is shown."""

    async def close(self) -> None:
        """Close the tab."""
