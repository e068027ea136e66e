"""Input that no database, document or log can hold is the caller's fault, said by a 4xx."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from sqlalchemy.dialects.postgresql import JSONB

from laundry_service.app import make_app
from laundry_service.http.cursors import BadCursor, page_of, read_cursor, write_cursor
from laundry_service.http.validation import RequestBody, is_storable, why_not_storable
from laundry_service.settings import ServiceSettings
from laundry_service.storage.database import Database
from laundry_testing.serving import serving

MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 30), timezones=st.just(UTC))
TEXT = st.text(max_size=12).filter(is_storable)


@given(st.floats(0, 1), TEXT, st.uuids(), MOMENTS, st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_cursor_comes_back_as_it_went(
    score: float, text: str, key: UUID, moment: datetime, number: int
) -> None:
    cursor = write_cursor(score, text, key, moment, number)
    assert cursor.isascii()
    assert read_cursor(cursor, float, str, UUID, datetime, int) == (score, text, key, moment, number)


@pytest.mark.parametrize("letter", ["a", "가", "😀", '"'])
def test_a_cursor_of_the_longest_name_is_one_that_is_taken(letter: str) -> None:
    moment, key = datetime(2026, 12, 1, 9, 30, 15, 123456, UTC), UUID(int=2**128 - 1)
    given = (letter * 100, key, moment)
    assert read_cursor(write_cursor(*given), str, UUID, datetime) == given


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "=",
        "%%",
        "x" * 10_000,
        encoded([0.5]),
        encoded([0.5, "b1", 1]),
        encoded({"0": 0.5, "1": "b1"}),
        encoded([0.5, "\x00"]),
        encoded([0.5, "\ud800"]),
        encoded([0.5, None]),
        encoded([True, "b1"]),
        encoded(["0.5", "b1"]),
        encoded([10**400, "b1"]),
        base64.urlsafe_b64encode(b'[NaN, "b1"]').decode(),
        base64.urlsafe_b64encode(b'[1e999, "b1"]').decode(),
        base64.urlsafe_b64encode(b"[" * 300).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_what_is_no_cursor_is_told(cursor: str) -> None:
    with pytest.raises(BadCursor):
        read_cursor(cursor, float, str)


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01"],
)
def test_a_moment_that_no_database_takes_is_no_cursor(moment: str) -> None:
    with pytest.raises(BadCursor):
        read_cursor(encoded([moment, "x"]), datetime, str)


@pytest.mark.parametrize(
    ("found", "page"), [([], ([], None)), ([1, 2], ([1, 2], None)), ([1, 2, 3], ([1, 2], 2))]
)
def test_a_page_names_its_last_item_only_where_more_come_after_it(
    found: list[int], page: tuple[list[int], int | None]
) -> None:
    assert page_of(found, 2) == page


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_is_told(cursor: str) -> None:
    with suppress(BadCursor):
        assert isinstance(read_cursor(cursor, float, str)[1], str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
@settings(max_examples=200)
def test_what_passes_can_be_written_as_strict_json_in_utf_8(value: Any) -> None:
    if why_not_storable(value) is None:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        assert b"\\u0000" not in written


def test_nesting_is_bounded() -> None:
    value: Any = 0
    for _ in range(10_000):
        value = [value]
    assert "nested" in (why_not_storable(value) or "")


class Asked(RequestBody):
    text: str
    number: float | None = None
    anything: dict[str, Any] = Field(default_factory=dict)


def routes(database: Database) -> APIRouter:
    router = APIRouter()

    @router.post("/things")
    async def add(asked: Asked) -> dict[str, str]:
        return {"text": asked.text}

    @router.get("/things")
    async def find(q: Annotated[str, Query()] = "", number: int = 0) -> dict[str, str]:
        return {"q": q}

    @router.get("/things/{name}")
    async def one(name: str) -> dict[str, str]:
        return {"name": name}

    async def raw(request: Request) -> Any:
        return await request.json()

    @router.post("/stored")
    async def store(value: Annotated[Any, Depends(raw)]) -> None:
        """Store what nobody checked: the net."""
        async with database.session() as session:
            await session.execute(
                sa.select(
                    sa.cast(sa.literal(value.get("text", ""), sa.Text), sa.Text),
                    sa.cast(sa.literal(value.get("whole", 0), sa.BigInteger), sa.BigInteger),
                    sa.cast(sa.literal(value.get("json", {}), JSONB), JSONB),
                )
            )

    return router


@asynccontextmanager
async def service(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    database = Database(database_url, pool=2)
    made = make_app(
        ServiceSettings(
            service_name="tests",
            amqp_url="amqp://nobody:nothing@127.0.0.1:9/",
            jwks_url="http://127.0.0.1:9/jwks",
            jwt_issuer="tests",
        ),
        title="Tests",
        version="1",
        description="",
        database=database,
    )
    made.include_router(routes(database))
    async with serving(made) as client:
        yield client


async def test_whatever_comes_is_taken_or_refused_never_a_bug(database_url: str) -> None:
    json_type = {"Content-Type": "application/json"}
    cases: list[tuple[int, str, str, dict[str, Any]]] = [
        (200, "POST", "/things", {"json": {"text": "빨래"}}),
        (200, "POST", "/things/", {"json": {"text": "with a slash, and its body"}}),
        (200, "GET", "/things/%EB%B9%A8%EB%9E%98/", {}),
        (404, "GET", "/things//", {}),
        (422, "POST", "/things", {"json": {"text": "a\x00b"}}),
        (422, "POST", "/things", {"content": b'{"text": "\\ud800"}', "headers": json_type}),
        (
            422,
            "POST",
            "/things",
            {"content": b'{"text": "", "anything": {"\\ud800": 1}}', "headers": json_type},
        ),
        (422, "POST", "/things", {"content": b'{"text": "", "\\udfff": []}', "headers": json_type}),
        (422, "POST", "/things", {"content": b'{"text": "", "number": NaN}', "headers": json_type}),
        (422, "POST", "/things", {"content": b'{"text": "", "number": 1e999}', "headers": json_type}),
        (422, "POST", "/things", {"json": {"text": "", "anything": {"n": 10**30}}}),
        (400, "POST", "/things", {"content": b"9" * 5000, "headers": json_type}),
        (400, "POST", "/things", {"content": b"[" * 50_000, "headers": json_type}),
        (400, "POST", "/things", {"content": b'{"text": "\xff"}', "headers": json_type}),
        (400, "POST", "/things", {"content": b'{"text": ', "headers": json_type}),
        (200, "POST", "/things", {"content": b'{"text": "1", "text": "2"}', "headers": json_type}),
        (415, "POST", "/things", {"content": b'{"text": "x"}', "headers": {"Content-Type": "text/plain"}}),
        (
            415,
            "POST",
            "/things",
            {"content": b"text=x", "headers": {b"Content-Type": b"\xff/\xfe; charset=x"}},
        ),
        (422, "POST", "/things", {}),
        (413, "POST", "/things", {"json": {"text": "x" * 70_000}}),
        (404, "GET", "/things/a%00b", {}),
        (404, "GET", "/things/%ff", {}),
        (422, "GET", "/things?q=%00", {}),
        (422, "GET", "/things?q=%C3%28", {}),
        (200, "GET", "/things?q=%zz&q=%", {}),
        (422, "GET", "/things?number=1e400", {}),
        (200, "GET", "/things", {"headers": {b"x-odd": b"\xff\xfe", b"Accept": b"\xff"}}),
        (405, "DELETE", "/things", {}),
        (405, "OPTIONS", "/things", {}),
        (405, "HEAD", "/things", {}),
        (422, "POST", "/stored", {"json": {"text": "\x00"}}),
        (422, "POST", "/stored", {"content": b'{"text": "\\ud800"}'}),
        (422, "POST", "/stored", {"json": {"whole": 2**70}}),
        (422, "POST", "/stored", {"json": {"json": {"a": "\x00"}}}),
        (200, "POST", "/stored", {"json": {"text": "fine", "whole": 2**62, "json": {"a": [1]}}}),
    ]
    async with service(database_url) as client:
        for status, method, path, content in cases:
            url = client.base_url.copy_with(raw_path=path.encode())
            answer = await client.request(method, url, **content)
            assert answer.status_code == status, (method, path, str(content)[:100], answer.text)
            if status >= 400 and method != "HEAD":
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["detail"]
            if status == 405:
                assert answer.headers["allow"] == "GET, POST"


async def test_the_document_tells_of_every_problem(database_url: str) -> None:
    async with service(database_url) as client:
        document = (await client.get("/openapi.json")).json()
    post = document["paths"]["/things"]["post"]["responses"]
    assert {"200", "400", "413", "415", "422", "429", "503"} <= set(post)
    assert "404" in document["paths"]["/things/{name}"]["get"]["responses"]
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status[0] in "45":
                    shared = document["components"]["responses"] if "$ref" in response else {}
                    assert list(shared.get(status, response)["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
