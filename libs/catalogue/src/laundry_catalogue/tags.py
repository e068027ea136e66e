"""The tags by which customers and branches find each other, in the words that people use.

Any text of the right form is a tag; these are the ones that everybody is offered. A tag that is not here is
shown as it was written.
"""

from dataclasses import dataclass
from typing import Literal

Language = Literal["ko", "en"]
Group = Literal["mood", "training", "rooms", "hours", "people", "service"]


@dataclass(frozen=True)
class Tag:
    """What a branch can be like, as it is stored and in words."""

    name: str
    group: Group
    ko: str
    en: str


TAGS = (
    Tag("quiet", "mood", "조용해요", "Quiet"),
    Tag("lively", "mood", "활기차요", "Lively"),
    Tag("bright", "mood", "밝고 탁 트였어요", "Bright and open"),
    Tag("clean", "mood", "아주 깨끗해요", "Spotlessly clean"),
    Tag("weights", "training", "웨이트 기구가 많아요", "Plenty of weights"),
    Tag("cardio", "training", "유산소 기구가 많아요", "Plenty of cardio machines"),
    Tag("yoga", "training", "요가 수업", "Yoga classes"),
    Tag("pilates", "training", "필라테스", "Pilates"),
    Tag("classes", "training", "그룹 수업", "Group classes"),
    Tag("trainer", "training", "1:1 트레이닝", "Personal training"),
    Tag("pool", "rooms", "수영장", "Swimming pool"),
    Tag("sauna", "rooms", "사우나", "Sauna"),
    Tag("showers", "rooms", "넓은 샤워실", "Roomy showers"),
    Tag("lockers", "rooms", "개인 사물함", "Own lockers"),
    Tag("climbing", "rooms", "클라이밍", "Climbing wall"),
    Tag("24h", "hours", "24시간 열어요", "Open 24 hours"),
    Tag("early", "hours", "아침 일찍 열어요", "Opens early"),
    Tag("late", "hours", "밤늦게까지 열어요", "Open late"),
    Tag("beginners", "people", "처음이어도 편해요", "Good for beginners"),
    Tag("women-only", "people", "여성 전용 공간", "Women-only area"),
    Tag("kids", "people", "아이와 함께", "Children are welcome"),
    Tag("seniors", "people", "어르신께 편해요", "Good for older people"),
    Tag("parking", "service", "주차가 편해요", "Easy parking"),
    Tag("towels", "service", "수건을 빌려줘요", "Towels provided"),
    Tag("sportswear", "service", "운동복을 빌려줘요", "Sportswear provided"),
    Tag("english", "service", "영어가 통해요", "English is spoken"),
)

_BY_NAME = {tag.name: tag for tag in TAGS}


def tag_words(name: str, language: Language) -> str:
    """Return a tag in words: those of the catalogue, else its own name with spaces."""
    tag = _BY_NAME.get(name)
    if tag is None:
        return name.replace("_", " ").replace("-", " ")
    return tag.ko if language == "ko" else tag.en
