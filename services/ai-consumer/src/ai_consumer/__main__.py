"""Run with ``python -m ai_consumer``."""

import laundry_service.ends_at_sigterm  # before what takes long
import laundry_service.left_out  # noqa: F401 - before what it keeps out
from ai_consumer.app import create_app
from ai_consumer.settings import Settings
from laundry_service.server import serve

if __name__ == "__main__":
    settings = Settings()
    serve(create_app(settings), settings)
