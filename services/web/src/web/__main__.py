"""Serve the pages: ``python -m web``."""

import laundry_service.ends_at_sigterm  # before what takes long
import laundry_service.left_out  # noqa: F401 - before what it keeps out
from laundry_service.server import serve
from web.app import create_app
from web.settings import WebSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = WebSettings()
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
