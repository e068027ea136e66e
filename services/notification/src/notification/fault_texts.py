"""How a fault is told, alone or as one of many, in Korean and English."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from laundry_events.events import EquipmentFault
from notification.alert_grouping import NAMED, Summary
from notification.texts import LANGUAGES, Texts, text_of

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
    """Tell a fault: what failed and how in the title, where, when and what to do in the body."""
    kind_ko, kind_en, _ = KINDS.get(fault.kind, (fault.kind, fault.kind.capitalize(), ""))
    how_ko, how_en = _how(fault)
    more_ko, more_en = _more(fault.count - 1)
    when_ko, when_en = _when(fault, zone)
    return {
        "ko": text_of(
            f"{kind_ko} {fault.equipment_id} {how_ko}{more_ko}",
            f"{fault.branch_id} 지점 · {when_ko}. 장비를 멈추고 확인해 주세요.",
        ),
        "en": text_of(
            f"{kind_en} {fault.equipment_id} {how_en}{more_en}",
            f"Branch {fault.branch_id} · {when_en}. Stop it and have a look.",
        ),
    }


def burst_texts(newest: Texts, of: Summary, branch_id: str, zone: ZoneInfo) -> Texts:
    """Tell many faults of a branch as one alert that counts; one alone is told as it is."""
    if of.faults == 1:
        return newest
    if of.machines == 1:
        return {
            "ko": text_of(f"{newest['ko']['title']} · 모두 {of.faults:,}건", newest["ko"]["body"]),
            "en": text_of(f"{newest['en']['title']} · {of.faults:,} faults", newest["en"]["body"]),
        }
    kind_ko, _, kinds_en = KINDS.get(of.kind or "", ("장비", "", "machines"))
    named = ", ".join(of.names[:NAMED])
    others = of.machines - NAMED
    others_ko, others_en = (f" 외 {others:,}대", f" and {others:,} more") if others > 0 else ("", "")
    all_ko, all_en = (
        (f" 고장은 모두 {of.faults:,}건.", f" {of.faults:,} faults in all.")
        if of.faults != of.machines
        else ("", "")
    )
    latest = {language: newest[language]["title"] for language in LANGUAGES}
    return {
        "ko": text_of(
            f"{kind_ko} {of.machines:,}대 고장",
            f"{branch_id} 지점 · {_ko(of.since, zone)}부터 {named}{others_ko}.{all_ko}"
            f" 최근: {latest['ko']}. 장비를 멈추고 확인해 주세요.",
        ),
        "en": text_of(
            f"{of.machines:,} {kinds_en} in trouble",
            f"Branch {branch_id} · since {_en(of.since, zone)}: {named}{others_en}.{all_en}"
            f" Latest: {latest['en']}. Stop them and have a look.",
        ),
    }


def _ko(moment: datetime, zone: ZoneInfo) -> str:
    at = moment.astimezone(zone)
    return f"{at.month}월 {at.day}일 {at:%H:%M}"


def _en(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%-d %b %H:%M}"


def _when(fault: EquipmentFault, zone: ZoneInfo) -> tuple[str, str]:
    """Say when it was: one time, or both where the equipment said another time than its report came."""
    said, came = fault.recorded_at, fault.received_at or fault.detected_at
    if fault.clock_off:
        if said is None:
            return (
                f"{_ko(came, zone)} 접수(기기 시계가 맞지 않음)",
                f"reported {_en(came, zone)} (its clock is off)",
            )
        return (
            f"{_ko(came, zone)} 접수(기기 시계가 맞지 않음, 기기 시각 {_ko(said, zone)})",
            f"reported {_en(came, zone)} (its clock is off: it says {_en(said, zone)})",
        )
    if said is not None and came - said >= LATE:
        return (
            f"{_ko(said, zone)} 발생, {_ko(came, zone)}에 늦게 접수",
            f"since {_en(said, zone)}, reported late at {_en(came, zone)}",
        )
    return f"{_ko(fault.detected_at, zone)} 감지", f"detected {_en(fault.detected_at, zone)}"


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
