"""Compiles what the stack runs: ``python -m laundry.stack.bytecode``, once, when the environment is made.

Without it the processes of the first start compile the same modules at the same time, each for itself; with
``PYTHONDONTWRITEBYTECODE`` set they do so at every start.
"""

import sys

# Asked for in so many words, whatever the environment says.
sys.dont_write_bytecode = False

# ruff: noqa: E402 - what is imported from here on is compiled and kept
import importlib

from laundry.contracts import app_of
from laundry_catalogue import SERVICES, Need

BESIDE = (
    "laundry.cli",
    "laundry_servers.fcm_app",
    "alembic.command",
    "laundry_service.migrate",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)
"""What the stack imports late, or in processes of its own."""


def main() -> None:
    """Import the modules of every process."""
    # Services come last: from then on nothing finds what they leave out.
    for module in (*BESIDE, *(f"{service.package}.__main__" for service in SERVICES)):
        importlib.import_module(module)
    for service in SERVICES:
        if Need.PROVIDER in service.needs:
            # Django imports what its settings name.
            app_of(service)


if __name__ == "__main__":
    main()
