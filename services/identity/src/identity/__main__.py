"""Runs the identity service: ``python -m identity``; with arguments it runs Django's command of that name."""

import sys

import laundry_service.ends_at_sigterm  # before what takes long
import laundry_service.left_out  # noqa: F401 - before what it keeps out
from identity.app import create_app
from identity.configuration import configure
from identity.memory import give_back_what_is_large
from identity.settings import Settings
from laundry_service.server import serve


def main() -> None:
    """Serve until SIGTERM or SIGINT, or run a command such as ``makemigrations people``."""
    settings = Settings()
    if len(sys.argv) > 1:
        configure(settings)
        from django.core.management import execute_from_command_line  # noqa: PLC0415

        execute_from_command_line(["python -m identity", *sys.argv[1:]])
        return
    give_back_what_is_large()
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
