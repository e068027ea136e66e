"""Several photos in one request: each has its answer, and none stops another."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from helper.api.batches import MOST_PHOTOS
from helper.app import create_app
from helper.service.submission import Submissions
from laundry_testing.problems import assert_problem
from laundry_testing.serving import serving

from .conftest import MakeSettings, Service, picture


async def send(
    service: Service,
    *photos: bytes,
    keys: list[str] | None = None,
    branch: str = "b1",
    headers: dict[str, str] | None = None,
    **fields: str,
) -> httpx.Response:
    """Send photos as helper-1 of b1 and b2."""
    return await service.http.post(
        "/tasks/batch",
        headers=headers or service.identity.bearer("helper", "b1", "b2"),
        files=[("photo", (f"{number}.jpg", photo, "image/jpeg")) for number, photo in enumerate(photos)],
        data={"branch_id": branch, **fields, **({"key": keys} if keys else {})},
    )


async def no_files(service: Service) -> httpx.Response:
    headers = service.identity.bearer("helper", "b1")
    parts = {"branch_id": (None, "b1"), "photo": (None, "text")}
    return await service.http.post("/tasks/batch", headers=headers, files=parts)


def statuses(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 207, answer.text
    return [item["status"] for item in answer.json()["items"]]


async def listed(service: Service) -> list[str]:
    return [task["id"] for task in (await service.get("/tasks")).json()["items"]]


async def test_each_photo_has_its_answer_and_a_bad_one_stops_no_other(alone: Service) -> None:
    whole = [picture(colour=colour) for colour in (1, 2)]
    answer = await send(alone, whole[0], b"%PDF-1.7", b"", whole[1], whole[1][:200], note="wet", load_id="l1")
    assert statuses(answer) == [201, 415, 422, 201, 422]
    items = answer.json()["items"]
    assert [item["problem"] and item["problem"]["code"] for item in items] == [
        None, "photo-is-pdf", "photo-empty", None, "photo-truncated",
    ]  # fmt: skip
    for item in items:
        assert (item["task"] is None) is (item["problem"] is not None)
        if item["problem"] is not None:
            assert item["problem"]["status"] == item["status"]
            assert item["problem"]["instance"] == "/tasks/batch"
            assert item["problem"]["detail"]
    made = [items[0]["task"], items[3]["task"]]
    assert [(task["note"], task["load_id"], task["status"]) for task in made] == [
        ("wet", "l1", "submitted")
    ] * 2
    assert set(await listed(alone)) == {task["id"] for task in made}


async def test_a_batch_that_is_sent_again_makes_nothing_twice(alone: Service) -> None:
    photos = [picture(colour=colour) for colour in range(3)]
    once = await send(alone, *photos[:2], keys=["k-0", "k-1"])
    # Its answer was lost, and the phone has one more by now.
    again = await send(alone, *photos, keys=["k-0", "k-1", "k-2"])
    assert statuses(again) == [201, 201, 201]
    assert [item["replayed"] for item in again.json()["items"]] == [True, True, False]
    ids = [item["task"]["id"] for item in again.json()["items"]]
    assert ids[:2] == [item["task"]["id"] for item in once.json()["items"]]
    other = await send(alone, photos[2], photos[1], keys=["k-0", "k-1"])
    assert statuses(other) == [422, 201]
    assert other.json()["items"][0]["problem"]["code"] == "idempotency-key-reused"
    # POST /tasks knows the same keys.
    single = await alone.upload(photos[0], key="k-0")
    assert (single.headers["Idempotent-Replay"], single.json()["id"]) == ("true", ids[0])
    assert set(await listed(alone)) == set(ids)


async def test_a_request_that_is_none_is_refused_whole(alone: Service) -> None:
    photo = picture()
    owner = alone.identity.bearer("owner", "b1")
    for answer, status, code in [
        (await send(alone), 415, "upload-not-multipart"),
        (await send(alone, *[photo] * (MOST_PHOTOS + 1)), 400, "upload-malformed"),
        (await send(alone, photo, branch="B 1"), 422, "branch-invalid"),
        (await send(alone, photo, branch="b9"), 403, "branch-forbidden"),
        (await send(alone, photo, headers=owner), 403, "role-forbidden"),
        (await send(alone, photo, note="x" * 501), 422, "note-too-long"),
        (await send(alone, photo, load_id="a b"), 422, "load-invalid"),
        (await send(alone, photo, photo, keys=["one"]), 422, "batch-keys-mismatch"),
        (await send(alone, photo, photo, keys=["one", "one"]), 422, "batch-keys-mismatch"),
        (await send(alone, photo, keys=["한"]), 400, "idempotency-key-invalid"),
        (await no_files(alone), 422, "photo-missing"),
    ]:
        assert_problem(answer, status, code)
    assert await listed(alone) == []


async def test_as_many_as_may_come_are_taken(alone: Service) -> None:
    answer = await send(alone, *(picture(colour=number) for number in range(MOST_PHOTOS)))
    assert statuses(answer) == [201] * MOST_PHOTOS
    assert len(await listed(alone)) == MOST_PHOTOS


async def test_a_mistake_of_ours_with_one_photo_leaves_the_others_their_answers(
    alone: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Submissions.submit

    async def sometimes(self: Submissions, upload: Any) -> Any:
        if upload.idempotency_key == "broken":
            raise RuntimeError("a mistake of ours")
        return await submit(self, upload)

    monkeypatch.setattr(Submissions, "submit", sometimes)
    answer = await send(alone, picture(colour=1), picture(colour=2), keys=["broken", "whole"])
    assert statuses(answer) == [500, 201]
    assert "mistake" not in answer.text


@pytest_asyncio.fixture
async def strict(make_settings: MakeSettings, identity: Any) -> AsyncIterator[Service]:
    """A helper that takes five small photos a minute of each person, and whose photo store is away."""
    settings = make_settings(
        s3_endpoint_url="http://127.0.0.1:1",
        photo_max_bytes=100_000,
        rate_limits={"uploads": {"person": "5/m"}},
    )
    async with serving(create_app(settings)) as http:
        yield Service(http, identity)


async def test_what_is_too_much_together_or_cannot_be_stored_just_now(strict: Service) -> None:
    large = picture() + bytes(60_000)
    assert_problem(await send(strict, *[large] * 3), 413, "photo-too-large")
    away = await send(strict, picture(colour=1), picture() + bytes(100_000))
    assert statuses(away) == [503, 413]
    assert [item["problem"]["code"] for item in away.json()["items"]] == [
        "photo-store-unavailable", "photo-too-large",
    ]  # fmt: skip


async def test_each_photo_counts_against_the_limit_of_its_sender(strict: Service) -> None:
    assert statuses(await send(strict, *[picture(colour=n) for n in range(4)])) == [503] * 4
    refused = assert_problem(await send(strict, picture(), picture(colour=1)), 429, "too-many-requests")
    assert refused["limit"] == "uploads"
