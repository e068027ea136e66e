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
        self._theirs = {
            _first(router.prefix or str(getattr(route, "path", "")))
            for router in routers
            for route in router.routes
        } - {"/"}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match whatever has none of the prefixes."""
        return (Match.NONE, {}) if _first(str(scope["path"])) in self._theirs else super().matches(scope)


def _first(path: str) -> str:
    return "/" + path.lstrip("/").partition("/")[0]
