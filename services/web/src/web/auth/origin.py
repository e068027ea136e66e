"""Whether a request that a cookie vouches for was made by these pages (cross-site request forgery)."""

from collections.abc import Mapping

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def by_these_pages(headers: Mapping[str, str], origin: str) -> bool:
    """Judge by what a browser says and a page cannot change.

    ``same-site`` is not enough: another port of this host, or a sibling of its domain, gets the cookie sent.

    Args:
        origin: that of the pages, e.g. ``https://laundry.example``.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # A browser from before 2023, or an address without TLS that is not this machine.
    return headers.get("origin") == origin
