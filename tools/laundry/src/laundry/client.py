"""A client of the running local stack, as one person with a token."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from laundry.paths import StackPaths
from laundry.stack import state
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

PAGE = 200
TIMEOUT = httpx.Timeout(60, connect=5)


class Caller:
    """Calls services by their key in ``var/stack.json``, without ``_url``."""

    def __init__(self, paths: StackPaths, *, role: str, branches: list[str], subject: str) -> None:
        self.stack: dict[str, Any] = state.running_stack(paths)
        token = LocalIdentity(paths.identity).mint(role=role, branches=branches, subject=subject)
        self.http = httpx.Client(timeout=TIMEOUT, headers={"Authorization": f"Bearer {token}"})

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def call(self, method: str, service: str, path: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer's JSON object, an empty one of an answer without a body.

        Raises:
            LaundryError: with the problem document's words, or the stack runs without this service.
        """
        body = self.content(method, service, path, **arguments)
        found: dict[str, Any] = json.loads(body) if body else {}
        return found

    def content(self, method: str, service: str, path: str, **arguments: Any) -> bytes:
        """Return the answer's body as it is. Raises LaundryError as ``call``."""
        address = self.stack.get(f"{service}_url")
        if address is None:
            raise state.left_out(service)
        answer = self.http.request(method, f"{address}{path}", **arguments)
        if answer.is_success:
            return answer.content
        raise LaundryError(f"{service} answered {answer.status_code}: {words(answer)}")

    def pages(self, service: str, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page after page. Raises LaundryError as ``call``."""
        cursor = None
        while True:
            asked = {name: value for name, value in {**query, "cursor": cursor}.items() if value is not None}
            page = self.call("GET", service, path, params={"limit": PAGE, **asked})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return


def words(answer: httpx.Response) -> str:
    """Return what a problem document says, or the beginning of an answer that is none."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:500]
    return str(problem.get("detail") or problem.get("title") or problem)
