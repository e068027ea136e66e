from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from laundry_service.http.body_limit import BodyLimit
from laundry_service.http.problems import install_problems


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    install_problems(app)
    app.add_middleware(BodyLimit, max_bytes=1000, elsewhere=["/photos"])

    @app.post("/json")
    async def json(body: dict[str, str]) -> int:
        return len(body)

    @app.post("/photos")
    async def photos(request: Request) -> int:
        return len(await request.body())

    with TestClient(app) as client:
        yield client


def pieces(count: int) -> Iterator[bytes]:
    yield b'{"a":"'
    for _ in range(count):
        yield b"x" * 100
    yield b'"}'


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
def test_a_body_over_the_limit_is_a_problem_whether_its_length_was_told_or_not(
    client: TestClient, told: bool
) -> None:
    body = b"".join(pieces(20)) if told else pieces(20)
    answer = client.post("/json", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "request-entity-too-large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "1000" in answer.json()["detail"]


def test_a_body_within_the_limit_passes(client: TestClient) -> None:
    answer = client.post("/json", content=pieces(5), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (200, 1)


def test_an_endpoint_that_bounds_its_own_bodies_is_left_alone(client: TestClient) -> None:
    assert client.post("/photos", content=b"x" * 5000).json() == 5000
