"""Run with ``python -m mlops``."""

import laundry_service.ends_at_sigterm  # before what takes long
import laundry_service.left_out  # noqa: F401 - before what it keeps out
from laundry_service.server import serve
from mlops.app import create_app
from mlops.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    serve(create_app(settings), settings)
