"""The pages of what went wrong."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from identity.texts import TEXTS, language

RETRY_AFTER = {"Retry-After": "5"}


def _page(
    request: HttpRequest, what: str, status: int, headers: dict[str, str] | None = None
) -> HttpResponse:
    texts = TEXTS[language()]
    said = {"title": texts[what], "lead": texts[f"{what}_lead"]}
    page = render(request, "error.html", said, status=status)
    for name, value in (headers or {}).items():
        page.headers[name] = value
    return page


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: a request that Django does not read."""
    return _page(request, "refused", 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show the page for 403 Forbidden."""
    return _page(request, "forbidden", 403)


def stale(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 of a form from elsewhere, or from a page that was open for too long."""
    return _page(request, "stale", 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show the page for 404 Not Found."""
    return _page(request, "missing", 404)


def too_large(request: HttpRequest) -> HttpResponse:
    """413: no form of ours is as large."""
    return _page(request, "refused", 413)


def broken(request: HttpRequest) -> HttpResponse:
    """503: the database is away, too much is asked at once, or there is a bug; the log tells which."""
    return _page(request, "broken", 503, RETRY_AFTER)
