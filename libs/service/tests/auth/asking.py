"""Requests with a token."""

from typing import Any

from fastapi.testclient import TestClient


def ask(client: TestClient, path: str, token: str) -> Any:
    return client.get(path, headers={"Authorization": f"Bearer {token}"})
