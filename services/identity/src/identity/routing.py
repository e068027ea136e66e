"""Which of the two answers: the JSON API, or Django."""

from collections.abc import Iterable

from fastapi import APIRouter
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Scope


class Elsewhere(Mount):
    """An app at every path that is none of the routers': there a wrong method is answered 405, not 404."""

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter]) -> None:
        """Leave the prefixes of the routers alone."""
        super().__init__("", app=app)
        self._theirs = {router.prefix for router in routers if router.prefix}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match whatever has none of the prefixes."""
        first = "/" + str(scope["path"]).lstrip("/").partition("/")[0]
        return (Match.NONE, {}) if first in self._theirs else super().matches(scope)
