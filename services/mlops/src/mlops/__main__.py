"""Run with ``python -m mlops``."""

from laundry_service.server import serve
from mlops.app import create_app
from mlops.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    serve(create_app(settings), settings)
