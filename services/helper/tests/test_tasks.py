"""The rules of a task, without any server."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from helper.settings import GARMENTS, Settings
from helper.tasks import (
    AlreadyConfirmed,
    ConfirmedByAnother,
    NotReadYet,
    NotReplaceable,
    RepeatedLabels,
    Task,
    TooLate,
    Undo,
    UnknownLabels,
    Withdrawn,
    check_labels,
    confirm,
    confirmed,
    is_correction,
    photo_key,
    same_submission,
    submission_key,
    submitted,
    take_back,
    take_reading,
    withdraw,
)
from laundry_events.events import CountedLabel, Photo, ReadLabel, TaskRead

AT = datetime(2026, 3, 9, 8, 7, 6, tzinfo=UTC)
SHA = "a" * 64

counted = st.builds(CountedLabel, label=st.sampled_from(GARMENTS), count=st.integers(1, 999))
confirmations = st.lists(counted, min_size=1, max_size=10, unique_by=lambda item: item.label)
read_labels = st.lists(
    st.builds(
        ReadLabel,
        label=st.sampled_from(GARMENTS),
        confidence=st.floats(0, 1),
        count=st.integers(1, 20),
    ),
    max_size=5,
)


def task(**changes: Any) -> Task:
    photo = Photo(key="photos/b1/2026/03/t1.jpg", sha256=SHA, bytes=10, media_type="image/jpeg")
    return replace(Task("t1", "b1", "helper-1", photo, AT), **changes)


def read(of: Task, labels: list[ReadLabel] | None = None, **changes: Any) -> TaskRead:
    values: dict[str, Any] = {
        "task_id": of.id,
        "task_version": of.version,
        "branch_id": of.branch_id,
        "outcome": "read",
        "labels": labels if labels is not None else [ReadLabel(label="shirt", confidence=0.8)],
        "needs_review": False,
        "model_version": "m1",
        "read_at": AT,
    }
    return TaskRead(**{**values, **changes})


def test_a_photo_key_names_branch_month_task_and_true_extension() -> None:
    assert photo_key("b-1", "t1", AT, "png") == "photos/b-1/2026/03/t1.png"


def test_two_uploads_are_the_same_by_key_or_else_by_photo_and_branch() -> None:
    assert submission_key("k", "b1", SHA) == submission_key("k", "b2", "b" * 64)
    assert submission_key(None, "b1", SHA) == submission_key(None, "b1", SHA)
    assert submission_key(None, "b1", SHA) != submission_key(None, "b2", SHA)
    assert submission_key("k1", "b1", SHA) != submission_key("k2", "b1", SHA)


@settings(deadline=None)
@given(st.text(max_size=40), st.sampled_from(["b1", "b2"]))
def test_no_key_of_a_client_can_pass_for_a_photo(key: str, branch: str) -> None:
    assert submission_key(key, branch, SHA) != submission_key(None, branch, SHA)


def test_a_key_with_another_photo_or_branch_is_another_submission() -> None:
    assert same_submission(task(), "b1", SHA)
    assert not same_submission(task(), "b2", SHA)
    assert not same_submission(task(), "b1", "b" * 64)


@settings(deadline=None)
@given(st.lists(st.builds(CountedLabel, label=st.sampled_from([*GARMENTS, "sock", "Shirt", ""]))))
def test_labels_are_taken_if_and_only_if_known_and_named_once(labels: list[CountedLabel]) -> None:
    names = [item.label for item in labels]
    try:
        check_labels(labels, GARMENTS)
    except UnknownLabels as error:
        assert set(error.unknown) == set(names) - set(GARMENTS)
        assert error.unknown
    except RepeatedLabels:
        assert len(set(names)) < len(names)
    else:
        assert set(names) <= set(GARMENTS)
        assert len(set(names)) == len(names)


@settings(deadline=None)
@given(confirmations, st.randoms())
def test_a_confirmation_is_no_correction_whatever_the_order(labels: list[CountedLabel], random: Any) -> None:
    seen = [ReadLabel(label=item.label, confidence=0.5, count=item.count) for item in labels]
    random.shuffle(seen)
    before = take_reading(task(), read(task(), seen))
    assert not is_correction(labels, before.reading)
    more = [CountedLabel(label=labels[0].label, count=labels[0].count % 999 + 1), *labels[1:]]
    assert is_correction(more, before.reading)


def test_confirming_the_best_guess_is_no_correction() -> None:
    guesses = [ReadLabel(label=name, confidence=share) for name, share in (("shirt", 0.7), ("hat", 0.2))]
    reading = take_reading(task(), read(task(), guesses)).reading
    assert not is_correction([CountedLabel(label="shirt")], reading)
    assert is_correction([CountedLabel(label="shirt", count=2)], reading)
    assert is_correction([CountedLabel(label="hat")], reading)


def test_of_several_garments_only_the_whole_list_agrees() -> None:
    found = [ReadLabel(label="shirt", confidence=0.9, count=2), ReadLabel(label="pants", confidence=0.6)]
    reading = take_reading(task(), read(task(), found, multiple=True)).reading
    assert not is_correction([CountedLabel(label="pants"), CountedLabel(label="shirt", count=2)], reading)
    assert is_correction([CountedLabel(label="shirt", count=2)], reading)
    assert is_correction([CountedLabel(label="shirt"), CountedLabel(label="pants")], reading)


def test_an_unreadable_task_can_be_confirmed_by_eye_and_counts_as_corrected() -> None:
    before = take_reading(task(), read(task(), outcome="unreadable", reason="damaged", labels=[]))
    assert (before.status, before.unreadable_reason, before.reading) == ("unreadable", "damaged", None)
    after = confirm(before, [CountedLabel(label="hat")], by="o", at=AT)
    event = confirmed(after)
    assert event.corrected
    assert (event.read_labels, event.model_version) == ([], None)


MINUTES = timedelta(minutes=15)


def test_a_withdrawn_task_is_neither_read_nor_confirmed_and_withdrawn_once() -> None:
    instead = task(id="t2", submitted_at=AT + MINUTES)
    gone = withdraw(task(), for_task=instead, within=MINUTES)
    assert (gone.status, gone.replaced_by, gone.version) == ("withdrawn", "t2", 2)
    assert take_reading(gone, read(gone)) is gone
    assert withdraw(gone, for_task=task(id="t3"), within=MINUTES) is gone
    with pytest.raises(Withdrawn):
        confirm(gone, [CountedLabel(label="hat")], by="o", at=AT)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"helper_id": "helper-2"}, "unknown"),
        ({"branch_id": "b2"}, "unknown"),
        ({"submitted_at": AT - timedelta(seconds=1)}, "too-old"),
    ],
)
def test_only_a_photo_of_ones_own_of_minutes_ago_is_replaced(changes: dict[str, Any], why: str) -> None:
    instead = task(id="t2", submitted_at=AT + MINUTES)
    with pytest.raises(NotReplaceable, match=why):
        withdraw(task(**changes), for_task=instead, within=MINUTES)
    if why == "too-old":
        assert withdraw(task(**changes), for_task=instead, within=None).status == "withdrawn"


def test_what_is_confirmed_or_unknown_is_not_replaced() -> None:
    seen = take_reading(task(), read(task()))
    for before, why in (
        (confirm(seen, [CountedLabel(label="hat")], by="o", at=AT), "confirmed"),
        (None, "unknown"),
    ):
        with pytest.raises(NotReplaceable, match=why):
            withdraw(before, for_task=task(id="t2"), within=None)


def test_nobody_takes_back_what_another_confirmed() -> None:
    seen = take_reading(task(), read(task()))
    done = confirm(seen, [CountedLabel(label="hat")], by="o", at=AT)
    with pytest.raises(ConfirmedByAnother):
        take_back(done, by="p")


def test_a_task_without_a_confirmation_has_nothing_to_tell() -> None:
    with pytest.raises(ValueError, match="not confirmed"):
        confirmed(task())


def test_the_submission_event_tells_where_the_photo_lies() -> None:
    event = submitted(task())
    assert (event.task_id, event.task_version, event.photo) == ("t1", 1, task().photo)


def test_by_default_the_classes_of_the_shipped_model_may_be_confirmed() -> None:
    manifest = Path(__file__).parents[3] / "models" / "manifest.json"
    assert sorted(GARMENTS) == sorted(json.loads(manifest.read_text())["labels"])


def test_labels_are_set_by_comma() -> None:
    chosen = Settings(
        labels="towel, sock,",  # as it stands in the environment
        amqp_url="amqp://a",
        database_url="postgresql+asyncpg://a",
        jwks_url="http://a",
        jwt_issuer="i",
        s3_bucket="b",
        s3_access_key="a",
        s3_secret_key="s",
    )
    assert chosen.labels == ("towel", "sock")


class LifeOfATask(RuleBasedStateMachine):
    """Readings and confirmations in any order, late and repeated ones among them."""

    def __init__(self) -> None:
        super().__init__()
        self.task = task()
        self.said: list[CountedLabel] | None = None

    def _became(self, after: Task) -> None:
        assert after is self.task or after.version == self.task.version + 1
        self.task = after

    @rule(labels=read_labels, age=st.integers(0, 3), readable=st.booleans())
    def a_reading_comes(self, labels: list[ReadLabel], age: int, readable: bool) -> None:
        version = max(1, self.task.version - age)
        event = read(self.task, labels, task_version=version, outcome="read" if readable else "unreadable")
        fresh = version == self.task.version and self.said is None
        after = take_reading(self.task, event)
        assert (after is not self.task) == fresh
        self._became(after)

    @rule(labels=confirmations)
    def an_owner_confirms(self, labels: list[CountedLabel]) -> None:
        try:
            after = confirm(self.task, labels, by="owner", at=AT + timedelta(minutes=1))
        except NotReadYet:
            assert self.task.status == "submitted"
        except AlreadyConfirmed:
            assert self.said is not None
            assert sorted(map(repr, labels)) != sorted(map(repr, self.said))
        else:
            self.said = self.said or labels
            self._became(after)

    @rule()
    def the_owner_confirms_again(self) -> None:
        if self.said is not None:
            assert confirm(self.task, list(reversed(self.said)), by="other", at=AT) is self.task

    @rule(held=st.booleans())
    def the_owner_takes_it_back(self, held: bool) -> None:
        before = self.task
        if held and before.confirmation is not None:
            before = replace(before, confirmation=replace(before.confirmation, undo=Undo("e1", AT)))
        try:
            after = take_back(before, by="owner")
        except TooLate:
            assert self.said is not None
            assert not held
            return
        assert (after.reading, after.unreadable_reason) == (before.reading, before.unreadable_reason)
        assert (after is before) == (self.said is None)
        assert after.version == before.version + (self.said is not None)
        self.task, self.said = after, None

    @invariant()
    def what_is_told_fits_the_status(self) -> None:
        current = self.task
        assert (current.confirmation is not None) == (current.status == "confirmed")
        assert (self.said is not None) == (current.status == "confirmed")
        if current.status == "read":
            assert current.reading is not None
        if current.status == "unreadable":
            assert (current.reading, bool(current.unreadable_reason)) == (None, True)
        if current.confirmation is not None and self.said is not None:
            assert list(current.confirmation.labels) == self.said
            assert current.confirmation.corrected == is_correction(self.said, current.reading)


TestLifeOfATask = LifeOfATask.TestCase
TestLifeOfATask.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
