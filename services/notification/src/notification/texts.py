"""What a phone shows, in Korean and English."""

from collections.abc import Sequence
from typing import Literal, TypedDict
from zoneinfo import ZoneInfo

from laundry_events.events import EquipmentFault

Language = Literal["ko", "en"]
LANGUAGES: tuple[Language, ...] = ("ko", "en")
DEFAULT_LANGUAGE: Language = "ko"

# FCM takes 4,096 bytes of title, body and data together; a Korean character is three of them.
TITLE_BYTES = 300
BODY_BYTES = 2_000

KINDS: dict[str, tuple[str, str]] = {
    "washer": ("세탁기", "Washer"),
    "dryer": ("건조기", "Dryer"),
    "boiler": ("보일러", "Boiler"),
}
METRICS: dict[str, tuple[str, str, str]] = {
    "temperature_celsius": ("온도", "temperature", " °C"),
    "vibration_mm_s": ("진동", "vibration", " mm/s"),
    "current_ampere": ("전류", "current", " A"),
    "pressure_bar": ("압력", "pressure", " bar"),
}


class Text(TypedDict):
    """What is shown in one language."""

    title: str
    body: str


Texts = dict[Language, Text]


def language_of(accept_language: str | None) -> Language:
    """Choose by an ``Accept-Language`` header (RFC 9110 §12.5.4); Korean where it names neither."""
    best: tuple[float, Language] = (0.0, DEFAULT_LANGUAGE)
    for item in (accept_language or "").split(","):
        tag, _, parameter = item.strip().partition(";")
        primary = tag.strip().lower().partition("-")[0]
        name, _, value = parameter.strip().partition("=")
        try:
            quality = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if primary in LANGUAGES and quality > best[0]:
            best = (quality, primary)
    return best[1]


def clip(text: str, max_bytes: int) -> str:
    """Shorten a text to so many bytes of UTF-8, whole characters only, with an ellipsis where it was cut."""
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max_bytes - 3].decode(errors="ignore").rstrip() + "…"


def _text(title: str, body: str) -> Text:
    return {"title": clip(title, TITLE_BYTES), "body": clip(body, BODY_BYTES)}


def fault_texts(fault: EquipmentFault, zone: ZoneInfo) -> Texts:
    """Tell a fault: what failed and how in the title, where, when and what to do in the body."""
    kind_ko, kind_en = KINDS.get(fault.kind, (fault.kind, fault.kind.capitalize()))
    how_ko, how_en = _how(fault)
    at = fault.detected_at.astimezone(zone)
    return {
        "ko": _text(
            f"{kind_ko} {fault.equipment_id} {how_ko}",
            f"{fault.branch_id} 지점 · {at.month}월 {at.day}일 {at:%H:%M} 감지. 장비를 멈추고 확인해 주세요.",
        ),
        "en": _text(
            f"{kind_en} {fault.equipment_id} {how_en}",
            f"Branch {fault.branch_id} · detected {at:%-d %b %H:%M}. Stop it and have a look.",
        ),
    }


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


def match_texts(*, branch_id: str, title: str, text: str, reasons: Sequence[str]) -> Texts:
    """Recommend a branch in its own words, with the tags that made the match."""
    why = ", ".join(reasons[:3])
    return {
        "ko": _text(f"취향에 맞는 지점: {title}", f"{branch_id}{f' ({why})' if why else ''} · {text}"),
        "en": _text(f"A branch for you: {title}", f"{branch_id}{f' ({why})' if why else ''} · {text}"),
    }
