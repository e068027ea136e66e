"""What a phone shows, in Korean and English: languages, lengths, and recommendations."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from laundry_catalogue.tags import tag_words

Language = Literal["ko", "en"]
LANGUAGES: tuple[Language, ...] = ("ko", "en")
DEFAULT_LANGUAGE: Language = "ko"

# FCM takes 4,096 bytes of title, body and data together; a Korean character is three of them.
TITLE_BYTES = 300
BODY_BYTES = 2_000


class Text(TypedDict):
    """What is shown in one language."""

    title: str
    body: str


Texts = dict[Language, Text]


def language_of(accept_language: str | None) -> Language:
    """Choose by an ``Accept-Language`` header (RFC 9110 §12.5.4); Korean if it names neither."""
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


def text_of(title: str, body: str) -> Text:
    """Build a text, cut to what fits into a push."""
    return {"title": clip(title, TITLE_BYTES), "body": clip(body, BODY_BYTES)}


TRIAL_TEXTS: Texts = {
    "ko": {"title": "시험 알림입니다", "body": "이 기기로 알림이 잘 옵니다."},
    "en": {"title": "This is a test", "body": "Alerts reach this device."},
}


def match_texts(*, branch_id: str, title: str, text: str, reasons: Sequence[str]) -> Texts:
    """Recommend a branch in its own words, with the tags that made the match; advertising says that it is."""
    why: dict[Language, str] = {
        language: f" ({', '.join(tag_words(tag, language) for tag in reasons[:3])})" if reasons else ""
        for language in LANGUAGES
    }
    return {
        "ko": text_of(f"(광고) 취향에 맞는 지점: {title}", f"{branch_id}{why['ko']} · {text}"),
        "en": text_of(f"(Ad) A branch for you: {title}", f"{branch_id}{why['en']} · {text}"),
    }
