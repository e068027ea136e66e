"""The rules of a reading, without any server."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ai_consumer.reading import PhotoMismatch, read_task, reading_id, unreadable
from laundry_events.events import TaskRead, TaskSubmitted
from laundry_reading.model import Model, Reading
from laundry_reading.photo import NotAnImage, TruncatedPhoto, UnsupportedFormat
from laundry_testing.models import COLOURS, LABELS, colour_model, photo_of, seeing_several

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TaskFor = Callable[..., TaskSubmitted]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(colour_model("m1"))


@pytest.mark.parametrize("label", LABELS)
def test_a_photo_is_read_with_the_task_it_belongs_to(model: Model, task_for: TaskFor, label: str) -> None:
    photo = photo_of(label)
    task = task_for(photo)
    read = read_task(task, photo, model, clock=lambda: NOW)
    assert (read.task_id, read.task_version, read.branch_id) == (task.task_id, 1, "b1")
    assert (read.outcome, read.reason, read.model_version, read.read_at) == ("read", None, "m1", NOW)
    assert read.labels[0].label == label
    assert read.labels[0].count == 1
    assert read.needs_review is (read.labels[0].confidence < model.threshold)


def test_a_photo_that_the_model_is_unsure_of_asks_for_a_person(task_for: TaskFor) -> None:
    unsure = Model.load(colour_model("m1", threshold=0.999))
    photo = photo_of("pants")
    assert read_task(task_for(photo), photo, unsure, clock=lambda: NOW).needs_review


def test_a_photo_is_read_as_one_of_its_branch(model: Model, task_for: TaskFor) -> None:
    class Asked:
        version = "m1"
        branches: ClassVar[list[str | None]] = []

        def read(self, photo: bytes, *, branch_id: str | None = None) -> Reading:
            self.branches.append(branch_id)
            return model.read(photo)

    photo = photo_of("pants")
    read_task(task_for(photo), photo, Asked(), clock=lambda: NOW)
    assert Asked.branches == ["b1"]


def test_a_photo_is_read_when_the_model_has_answered_not_when_it_is_asked(
    model: Model, task_for: TaskFor
) -> None:
    told: list[str] = []

    class Slow:
        version = "m1"

        def read(self, photo: bytes, *, branch_id: str | None = None) -> Reading:
            told.append("read")
            return model.read(photo)

    def clock() -> datetime:
        told.append("time")
        return NOW

    photo = photo_of("pants")
    read_task(task_for(photo), photo, Slow(), clock=clock)
    assert told == ["read", "time"]


def test_several_garments_are_told_with_their_counts(task_for: TaskFor) -> None:
    picture = Image.new("RGB", (400, 400), COLOURS["pants"])
    for corner in ((0, 0), (200, 200)):
        picture.paste(COLOURS["shoes"], (*corner, corner[0] + 200, corner[1] + 200))
    picture.paste(COLOURS["t-shirt"], (200, 0, 400, 200))
    out = BytesIO()
    picture.save(out, "PNG")
    reader = Model.load(seeing_several(colour_model("m1", temperature=1.5)))
    read = read_task(task_for(out.getvalue()), out.getvalue(), reader, clock=lambda: NOW)
    assert read.multiple
    assert read.needs_review
    assert {each.label: each.count for each in read.labels} == {"shoes": 2, "pants": 1, "t-shirt": 1}
    assert TaskRead.model_validate_json(read.model_dump_json()) == read


@pytest.mark.parametrize("change", [{"bytes": 7}, {"sha256": "0" * 64}])
def test_other_bytes_than_registered_are_not_read(
    model: Model, task_for: TaskFor, change: dict[str, object]
) -> None:
    photo = photo_of("shoes")
    with pytest.raises(PhotoMismatch, match=r"registered was|registered were"):
        read_task(task_for(photo, **change), photo, model, clock=lambda: NOW)


def gif() -> bytes:
    out = BytesIO()
    Image.new("RGB", (20, 20)).save(out, "GIF")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (photo_of("shoes")[:-2000], TruncatedPhoto),
        (b"not a photo", NotAnImage),
        (gif(), UnsupportedFormat),
    ],
    ids=["truncated", "no image", "gif"],
)
def test_what_cannot_be_decoded_is_an_outcome_with_its_reason(
    model: Model, task_for: TaskFor, data: bytes, error: type[Exception]
) -> None:
    task = task_for(data)
    with pytest.raises(error) as caught:
        read_task(task, data, model, clock=lambda: NOW)
    told = unreadable(task, caught.value, model_version="m1", now=NOW)  # type: ignore[arg-type]
    assert (told.outcome, told.labels, told.needs_review) == ("unreadable", [], True)
    assert told.reason == caught.value.code  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_a_reading_has_the_same_id_for_the_same_submission_only(one: str, other: str) -> None:
    assert reading_id(one) == reading_id(one)
    assert (reading_id(one) == reading_id(other)) is (one == other)
    assert str(uuid.UUID(reading_id(one))) == reading_id(one)
