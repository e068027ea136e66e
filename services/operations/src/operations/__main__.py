"""Runs the operations service: ``python -m operations``."""

import laundry_service.ends_at_sigterm  # before what takes long
import laundry_service.left_out  # noqa: F401 - before what it keeps out
from laundry_service.server import serve
from operations.app import create_app
from operations.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    serve(create_app(settings), settings)
