"""Where a sign-in leads to: nowhere but to these pages."""

from urllib.parse import urlencode

LONGEST = 500


def path_within(asked: str | None) -> str:
    """Return a path of ours that was asked for; ``/`` for anything that could lead elsewhere."""
    if not asked or len(asked) > LONGEST or not asked.isascii() or not asked.isprintable():
        return "/"
    # Browsers read "//host" and "/\\host" as another host's address, and skip spaces and tabs on the way.
    if not asked.startswith("/") or asked.startswith("//") or "\\" in asked or " " in asked:
        return "/"
    return asked


def start_page(why: str) -> str:
    """Return the address of the start page, which says why nobody was signed in."""
    return "/?" + urlencode({"sign-in": why})
