"""HTTP about people for programs: JSON, with an access token, as in every service."""

from fastapi import APIRouter


def people_router() -> APIRouter:
    """Make the endpoints. Work with the database goes through ``identity.database.in_database``."""
    return APIRouter()
