"""What a customer agrees to, in which words, and the record of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from notification.customer_rules import TellingPolicy
from notification.texts import LANGUAGES, Language, Text, Texts

Via = Literal["page", "link"]


class UnknownText(Exception):
    """The text that somebody agreed to is not the present one."""


@dataclass(frozen=True)
class ConsentText:
    """The words that a customer is asked with.

    Attributes:
        version: follows from the words, so that other words are another version.
    """

    version: str
    texts: Texts

    def in_language(self, language: Language) -> Text:
        """Return the words in one language."""
        return self.texts[language]


@dataclass(frozen=True)
class Consent:
    """What a customer said last.

    Attributes:
        per_week: how much was agreed to: a limit that is raised later does not bind who agreed to less.
        time_zone: the customer's own, IANA name; ``None``: that of the branches.
        stop_key: ends it without signing in.
    """

    customer_id: str
    given: bool
    text_version: str | None
    per_week: int
    time_zone: str | None
    changed_at: datetime
    stop_key: str


@dataclass(frozen=True)
class ConsentRecord:
    """One entry of the record: what was said when, by which way, of which words."""

    given: bool
    at: datetime
    via: Via
    text_version: str | None
    language: Language | None
    text: Text | None


def consent_text(policy: TellingPolicy) -> ConsentText:
    """Make the words for these limits."""
    night = f"{policy.night_from:%H:%M}–{policy.night_until:%H:%M}"
    texts: Texts = {
        "ko": {
            "title": "취향에 맞는 지점 소식을 알림으로 받기 (선택, 광고성 정보)",
            "body": (
                f"취향에 맞는 지점이 있으면 알림으로 알려 드립니다. 일주일에 {policy.per_week}번까지만,"
                f" 같은 소식은 한 번만 보내고, 밤({night})에는 보내지 않습니다. 한 번의 탭으로 언제든"
                " 그만 받을 수 있으며, 동의하지 않아도 다른 기능은 그대로 쓸 수 있습니다."
            ),
        },
        "en": {
            "title": "Tell me of branches that suit me (optional, advertising)",
            "body": (
                "When a branch suits you, your phone shows a notification: at most"
                f" {policy.per_week} a week, the same thing only once, and never at night ({night})."
                " One tap ends it at any time. Everything else works without it."
            ),
        },
    }
    return ConsentText(_digest(texts), texts)


def _digest(texts: Mapping[Language, Text]) -> str:
    said = "\n".join(
        f"{language}\n{texts[language]['title']}\n{texts[language]['body']}" for language in LANGUAGES
    )
    return hashlib.sha256(said.encode()).hexdigest()[:12]
