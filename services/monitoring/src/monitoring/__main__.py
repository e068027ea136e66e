"""``python -m monitoring`` serves the monitoring service."""

from laundry_service.server import serve
from monitoring.app import create_app
from monitoring.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    serve(create_app(settings), settings)
