import asyncio

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from laundry_service.http.health import Check, health_router


async def well() -> bool:
    return True


async def unwell() -> bool:
    return False


async def broken() -> bool:
    raise ConnectionError("a password may stand here")


async def silent() -> bool:
    await asyncio.sleep(3600)
    return True


def ready(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> tuple[int, dict[str, str]]:
    monkeypatch.setattr("laundry_service.http.health.CHECK_TIMEOUT_S", 0.05)
    app = FastAPI()
    app.include_router(health_router(list(checks)))
    with TestClient(app) as client:
        assert client.get("/livez").status_code == 200, "liveness depends on nothing"
        assert client.get("/metrics").status_code == 404, "metrics have a port of their own"
        answer = client.get("/readyz")
    return answer.status_code, answer.json()["checks"]


def test_ready_when_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ready(monkeypatch, Check("db", well)) == (200, {"db": "ok"})


@pytest.mark.parametrize(
    ("probe", "said"), [(unwell, "failed"), (broken, "failed: ConnectionError"), (silent, "timed out")]
)
def test_not_ready_when_something_needed_is_not_well(
    monkeypatch: pytest.MonkeyPatch, probe: object, said: str
) -> None:
    assert ready(monkeypatch, Check("db", well), Check("s3", probe)) == (503, {"db": "ok", "s3": said})  # type: ignore[arg-type]


def test_what_is_not_needed_is_shown_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ready(monkeypatch, Check("broker", unwell, required=False)) == (200, {"broker": "failed"})
