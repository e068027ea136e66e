from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_events import EventTooLarge, MalformedMessage, UnknownEvent
from laundry_events.envelope import MAX_MESSAGE_BYTES, EventMeta, decode, encode, read_meta
from laundry_events.events import Photo, PreferenceCreated, PreferenceMatch, TaskSubmitted

PHOTO = Photo(key="photos/a.jpg", sha256="0" * 64, bytes=1, media_type="image/jpeg")


def submitted(**changes: Any) -> TaskSubmitted:
    fields: dict[str, Any] = {
        "task_id": "t1",
        "task_version": 1,
        "branch_id": "b1",
        "helper_id": "h1",
        "photo": PHOTO,
        "submitted_at": datetime.now(UTC),
    }
    return TaskSubmitted(**{**fields, **changes})


def meta_of(headers: dict[str, Any]) -> EventMeta:
    return read_meta(headers, queue="task.submitted", routing_key="task.submitted", redelivered=False)


@given(
    helper=st.text(min_size=1, max_size=200),
    version=st.integers(min_value=1, max_value=2**31),
    branch=st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True),
    # A moment that is within the first or the last day in some zone is refused.
    moment=st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)),
)
def test_what_is_encoded_is_decoded_again(helper: str, version: int, branch: str, moment: datetime) -> None:
    event = submitted(helper_id=helper, task_version=version, branch_id=branch, submitted_at=moment)
    outgoing = encode(event, source="/helper")
    meta = meta_of(dict(outgoing.headers))
    assert decode(outgoing.body, meta, TaskSubmitted) == event
    assert (meta.id, meta.type, meta.subject, meta.version) == (outgoing.id, "TaskSubmitted", "t1", 1)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "dataschema"])
def test_a_message_without_a_required_header_is_malformed(name: str) -> None:
    headers = dict(encode(submitted(), source="/helper").headers)
    del headers[f"cloudEvents_{name}"]
    with pytest.raises(MalformedMessage, match=name):
        meta_of(headers)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("cloudEvents_dataschema", "urn:laundry:schema:TaskSubmitted:99"),
        ("cloudEvents_dataschema", "urn:somebody:else"),
        ("cloudEvents_dataschema", "urn:laundry:schema:TaskSubmitted:one"),
        ("cloudEvents_type", "TaskExploded"),
        ("cloudEvents_type", "TaskRead"),
    ],
)
def test_an_unknown_type_or_version_is_refused(header: str, value: str) -> None:
    outgoing = encode(submitted(), source="/helper")
    with pytest.raises(UnknownEvent):
        decode(outgoing.body, meta_of({**outgoing.headers, header: value}), TaskSubmitted)


@given(body=st.binary(max_size=400))
def test_no_body_but_an_event_is_taken(body: bytes) -> None:
    outgoing = encode(submitted(), source="/helper")
    with pytest.raises(MalformedMessage):
        decode(body, meta_of(dict(outgoing.headers)), TaskSubmitted)


@given(headers=st.dictionaries(st.text(max_size=30), st.none() | st.text() | st.binary() | st.integers()))
def test_no_headers_break_the_reader(headers: dict[str, Any]) -> None:
    with pytest.raises((MalformedMessage, UnknownEvent)):
        meta_of(headers)


def test_fields_of_a_newer_producer_are_ignored() -> None:
    outgoing = encode(submitted(), source="/helper")
    body = outgoing.body[:-1] + b',"colour":"blue"}'
    assert decode(body, meta_of(dict(outgoing.headers)), TaskSubmitted).task_id == "t1"


def test_an_event_over_64_kib_is_refused_before_it_is_sent() -> None:
    matches = [PreferenceMatch(customer_id=f"customer-{i}", score=0.5) for i in range(2000)]
    event = PreferenceCreated(
        preference_id="p",
        branch_id="b1",
        title="",
        text="",
        tags={},
        matches=matches,
        created_at=datetime.now(UTC),
    )
    assert len(event.model_dump_json()) > MAX_MESSAGE_BYTES
    with pytest.raises(EventTooLarge, match="65536"):
        encode(event, source="/search")
