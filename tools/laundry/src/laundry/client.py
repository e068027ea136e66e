"""A client of the running local stack, as one person with a token."""

from typing import Any

import httpx

from laundry.paths import StackPaths
from laundry.stack import state
from laundry_servers.errors import LaundryError
from laundry_servers.identity import LocalIdentity

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
        """Return the answer's JSON object. Raises LaundryError with the problem document's words."""
        found: dict[str, Any] = self._answer(method, service, path, **arguments).json()
        return found

    def content(self, method: str, service: str, path: str, **arguments: Any) -> bytes:
        """Return the answer's body as it is. Raises LaundryError as ``call`` does."""
        return self._answer(method, service, path, **arguments).content

    def _answer(self, method: str, service: str, path: str, **arguments: Any) -> httpx.Response:
        answer = self.http.request(method, f"{self.stack[f'{service}_url']}{path}", **arguments)
        if answer.is_success:
            return answer
        raise LaundryError(f"{service} answered {answer.status_code}: {_words(answer)}")


def _words(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:500]
    return str(problem.get("detail") or problem.get("title") or problem)
