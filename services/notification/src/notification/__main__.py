"""``python -m notification api`` or ``python -m notification faults``."""

import argparse

import laundry_service.ends_at_sigterm  # before what takes long
import laundry_service.left_out  # noqa: F401 - before what it keeps out
from laundry_service.server import serve
from notification.app import create_app, create_faults_app
from notification.settings import Settings


def main() -> None:
    """Run one of the service's two processes."""
    parser = argparse.ArgumentParser(prog="python -m notification", description=__doc__)
    parser.add_argument("process", choices=["api", "faults"])
    process = parser.parse_args().process
    settings = Settings()
    if process == "api":
        serve(create_app(settings), settings)
    else:
        short = settings.model_copy(update={"graceful_timeout_s": settings.fault_graceful_timeout_s})
        serve(create_faults_app(short), short)


if __name__ == "__main__":
    main()
