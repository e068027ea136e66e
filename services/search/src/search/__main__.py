"""Runs the search service: ``python -m search``."""

from laundry_service.server import serve
from search.app import create_app
from search.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    serve(create_app(settings), settings)
