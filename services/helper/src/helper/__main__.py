"""Runs the helper service: ``python -m helper``."""

import laundry_service.ends_at_sigterm  # before what takes long
import laundry_service.left_out  # noqa: F401 - before what it keeps out
from helper.app import create_app
from helper.settings import Settings
from laundry_service.server import serve


def main() -> None:
    """Serve with the settings of the environment."""
    settings = Settings()
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
