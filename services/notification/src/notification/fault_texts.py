"""The texts of faults, alone or grouped, in Korean and English."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from laundry_events.events import EquipmentFault
from notification.alert_grouping import NAMES_IN_TEXT, GroupSummary
from notification.texts import LANGUAGES, Language, Texts, text_of

LATE = timedelta(minutes=2)

KINDS: dict[str, tuple[str, str, str]] = {
    "washer": ("세탁기", "Washer", "washers"),
    "dryer": ("건조기", "Dryer", "dryers"),
    "boiler": ("보일러", "Boiler", "boilers"),
}
METRICS: dict[str, tuple[str, str, str]] = {
    "temperature_celsius": ("온도", "temperature", " °C"),
    "vibration_mm_s": ("진동", "vibration", " mm/s"),
    "current_ampere": ("전류", "current", " A"),
    "pressure_bar": ("압력", "pressure", " bar"),
}


def fault_texts(fault: EquipmentFault, zone: ZoneInfo) -> Texts:
    """Describe a fault: what failed and how in the title, where, when and what to do in the body."""
    kind_ko, kind_en, _ = KINDS.get(fault.kind, (fault.kind, fault.kind.capitalize(), ""))
    how_ko, how_en = _how(fault)
    more_ko, more_en = _more(fault.count - 1)
    when_ko, when_en = _when(fault, zone)
    nobody, untaken_ko, untaken_en = _untaken(fault)
    return {
        "ko": text_of(
            f"{nobody['ko']}{kind_ko} {fault.equipment_id} {how_ko}{more_ko}",
            f"{untaken_ko}{fault.branch_id} 지점 · {when_ko}. 장비를 멈추고 확인해 주세요.",
        ),
        "en": text_of(
            f"{nobody['en']}{kind_en} {fault.equipment_id} {how_en}{more_en}",
            f"{untaken_en}Branch {fault.branch_id} · {when_en}. Stop it and have a look.",
        ),
    }


def group_texts(newest: Texts, summary: GroupSummary, branch_id: str, zone: ZoneInfo) -> Texts:
    """Describe the faults of a branch as one alert that counts; a lone one keeps its own text."""
    if summary.faults == 1:
        return newest
    if summary.machines == 1:
        return {
            "ko": text_of(f"{newest['ko']['title']} · 모두 {summary.faults:,}건", newest["ko"]["body"]),
            "en": text_of(f"{newest['en']['title']} · {summary.faults:,} faults", newest["en"]["body"]),
        }
    kind_ko, _, kinds_en = KINDS.get(summary.kind or "", ("장비", "", "machines"))
    named = ", ".join(summary.names[:NAMES_IN_TEXT])
    others = summary.machines - NAMES_IN_TEXT
    others_ko, others_en = (f" 외 {others:,}대", f" and {others:,} more") if others > 0 else ("", "")
    all_ko, all_en = (
        (f" 고장은 모두 {summary.faults:,}건.", f" {summary.faults:,} faults in all.")
        if summary.faults != summary.machines
        else ("", "")
    )
    latest = {language: newest[language]["title"] for language in LANGUAGES}
    return {
        "ko": text_of(
            f"{kind_ko} {summary.machines:,}대 고장",
            f"{branch_id} 지점 · {_ko(summary.since, zone)}부터 {named}{others_ko}.{all_ko}"
            f" 최근: {latest['ko']}. 장비를 멈추고 확인해 주세요.",
        ),
        "en": text_of(
            f"{summary.machines:,} {kinds_en} in trouble",
            f"Branch {branch_id} · since {_en(summary.since, zone)}: {named}{others_en}.{all_en}"
            f" Latest: {latest['en']}. Stop them and have a look.",
        ),
    }


def _ko(moment: datetime, zone: ZoneInfo) -> str:
    at = moment.astimezone(zone)
    return f"{at.month}월 {at.day}일 {at:%H:%M}"


def _en(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%-d %b %H:%M}"


def _when(fault: EquipmentFault, zone: ZoneInfo) -> tuple[str, str]:
    """Say when it was: one time, or two if the equipment's own time is not when its report came."""
    recorded, received = fault.recorded_at, fault.received_at or fault.detected_at
    if fault.clock_off:
        if recorded is None:
            return (
                f"{_ko(received, zone)} 접수(기기 시계가 맞지 않음)",
                f"reported {_en(received, zone)} (its clock is off)",
            )
        return (
            f"{_ko(received, zone)} 접수(기기 시계가 맞지 않음, 기기 시각 {_ko(recorded, zone)})",
            f"reported {_en(received, zone)} (its clock is off: it says {_en(recorded, zone)})",
        )
    if recorded is not None and received - recorded >= LATE:
        return (
            f"{_ko(recorded, zone)} 발생, {_ko(received, zone)}에 늦게 접수",
            f"since {_en(recorded, zone)}, reported late at {_en(received, zone)}",
        )
    return f"{_ko(fault.detected_at, zone)} 감지", f"detected {_en(fault.detected_at, zone)}"


def _untaken(fault: EquipmentFault) -> tuple[Mapping[Language, str], str, str]:
    """Say that nobody takes care of it, and for how long: a mark for the title, and a sentence each."""
    if fault.escalated_at is None:
        return {"ko": "", "en": ""}, "", ""
    minutes = max(1, round((fault.escalated_at - fault.detected_at) / timedelta(minutes=1)))
    return (
        {"ko": "[미확인] ", "en": "Unanswered: "},
        f"{minutes:,}분째 아무도 확인하지 않았습니다. ",
        f"Nobody has taken care of it for {minutes:,} min. ",
    )


def _more(others: int) -> tuple[str, str]:
    return (f" 외 {others:,}건", f" and {others:,} more") if others > 0 else ("", "")


def _how(fault: EquipmentFault) -> tuple[str, str]:
    if fault.cause == "heartbeat":
        return "신호 끊김", "sends no signal"
    if fault.cause == "limit" and fault.metric:
        ko, en, unit = METRICS.get(fault.metric, (fault.metric, fault.metric, ""))
        value = "" if fault.value is None else f" {fault.value:g}{unit}"
        limit = "" if fault.limit is None else f"{fault.limit:g}{unit}"
        return (
            f"이상: {ko}{value}" + (f" (한계 {limit})" if limit else ""),
            f"out of limits: {en}{value}" + (f" (limit {limit})" if limit else ""),
        )
    code = f" ({fault.fault_code})" if fault.fault_code else ""
    return f"고장{code}", f"failed{code}"
