"""Describes an event in one line: who did what, and why."""

from collections.abc import Sequence
from typing import NamedTuple

from laundry_events import events
from laundry_events.event import Event


class Words(NamedTuple):
    """Empty where an event does not say."""

    who: str
    what: str
    why: str = ""


def words(event: Event) -> Words:
    """Return what an event tells a person."""
    match event:
        case events.TaskSubmitted() | events.TaskRead() | events.TaskConfirmed() | events.PhotoDeleted():
            return _of_task(event)
        case events.EquipmentFault() | events.FaultAcknowledged():
            return _of_fault(event)
        case events.PreferenceCreated() | events.PreferenceWithdrawn():
            return _of_preference(event)
        case events.ModelPromoted():
            before = f"in place of {event.previous_version}" if event.previous_version else ""
            return Words(event.promoted_by, f"{event.model_version} serves", before)
        case events.PersonErased() | events.PersonForgotten():
            return _of_erasure(event)
    return Words("", event.event_type)


def _of_task(
    event: events.TaskSubmitted | events.TaskRead | events.TaskConfirmed | events.PhotoDeleted,
) -> Words:
    match event:
        case events.TaskSubmitted():
            return Words(event.helper_id, f"a photo of {event.photo.bytes // 1024:,} KiB")
        case events.TaskRead():
            found = _labels(event.labels) if event.outcome == "read" else "unreadable"
            unsure = "needs review" if event.outcome == "read" and event.needs_review else ""
            return Words(f"model {event.model_version}", found, event.reason or unsure)
        case events.TaskConfirmed():
            read = f"read as {_labels(event.read_labels)}" if event.corrected and event.read_labels else ""
            return Words(event.confirmed_by, _labels(event.labels), read)
        case events.PhotoDeleted():
            kept = "its features are kept" if event.keep_features else "nothing of it is kept"
            return Words("", f"the photo is gone, {kept}")


def _of_fault(event: events.EquipmentFault | events.FaultAcknowledged) -> Words:
    if isinstance(event, events.FaultAcknowledged):
        return Words(event.acknowledged_by, f"takes care of {event.equipment_id}")
    passed = f", passed on {event.escalation}×" if event.escalation else ""
    return Words(event.equipment_id, f"{event.kind} failed{passed}", _cause(event))


def _of_preference(event: events.PreferenceCreated | events.PreferenceWithdrawn) -> Words:
    if isinstance(event, events.PreferenceWithdrawn):
        return Words(event.branch_id, f"no longer says {event.preference_id}")
    part = f" (part {event.part} of {event.parts})" if event.parts > 1 else ""
    return Words(event.branch_id, f"{event.title}: {len(event.matches)} customers match{part}")


def _of_erasure(event: events.PersonErased | events.PersonForgotten) -> Words:
    if isinstance(event, events.PersonForgotten):
        return Words(event.service, f"has forgotten: {sum(event.rows.values())} rows")
    return Words("", f"{event.tombstone} is to be forgotten", f"attempt {event.attempt}")


def _labels(labels: Sequence[events.ReadLabel] | Sequence[events.CountedLabel]) -> str:
    return ", ".join(
        f"{each.count}× {each.label}"
        + (f" {each.confidence:.0%}" if isinstance(each, events.ReadLabel) else "")
        for each in labels
    )


def _cause(fault: events.EquipmentFault) -> str:
    if fault.cause == "fault_code":
        return f"it reported {fault.fault_code}"
    if fault.cause == "heartbeat":
        return "it is silent"
    if fault.value is None or fault.limit is None:
        return f"{fault.metric} is beyond its limit"
    return f"{fault.metric} is {fault.value:g}, its limit {fault.limit:g}"
