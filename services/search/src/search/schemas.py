"""The bodies of HTTP requests and answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Self

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from laundry_catalogue.tags import TAGS
from laundry_service.http.validation import RequestBody
from search.matching import suitability
from search.preferences import Preference, SuitableBranch, Tags

MAX_TAGS = 32
OTHER_TAGS = 50
"""How many tags that are in no catalogue are listed: those that most branches use."""

Limit = Annotated[int, Query(ge=1, le=100)]
"""A query parameter: how many items a page has at most."""

Tag = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9가-힣][a-z0-9가-힣_-]{0,31}$",
        description="Lower-case letters, digits, Hangul, - and _; at most 32 characters",
        examples=["quiet"],
    ),
]
Weight = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


def _some_weight(tags: Tags) -> Tags:
    weighty = {tag: weight for tag, weight in tags.items() if weight > 0}
    if not weighty:
        raise ValueError("at least one tag needs a weight above 0")
    return weighty


WeightedTags = Annotated[
    dict[Tag, Weight],
    Field(min_length=1, max_length=MAX_TAGS, examples=[{"quiet": 0.9, "sauna": 0.4}]),
    AfterValidator(_some_weight),
]
NO_CONTROL = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"


class TasteIn(RequestBody):
    """What a customer likes, from 0 (no matter) to 1 (very much)."""

    model_config = ConfigDict(extra="forbid")

    tags: WeightedTags


class TasteOut(BaseModel):
    """A customer's taste; tags of weight 0 are left out."""

    tags: Tags
    updated_at: datetime


class PreferenceIn(RequestBody):
    """What a branch is like, and how it says so."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    tags: WeightedTags
    title: Annotated[str, Field(min_length=1, max_length=100, pattern=NO_CONTROL)]
    text: Annotated[str, Field(min_length=1, max_length=1000, pattern=NO_CONTROL)]


class PreferenceOut(BaseModel):
    """A preference that a branch has stated."""

    id: str
    branch_id: str
    tags: Tags
    title: str
    text: str
    matched: int | None = Field(description="Customers whom it suited when stated; for the branch only")
    created_at: datetime

    @classmethod
    def of(cls, preference: Preference, *, with_matched: bool) -> Self:
        """Show a preference, to customers without the size of its audience."""
        return cls(
            id=preference.id,
            branch_id=preference.branch_id,
            tags=preference.tags,
            title=preference.title,
            text=preference.text,
            matched=preference.matched if with_matched else None,
            created_at=preference.created_at,
        )


class PreferencePage(BaseModel):
    """A page of a branch's preferences, newest first."""

    items: list[PreferenceOut]
    next_cursor: str | None


class ShareOut(BaseModel):
    """What one tag adds to the score: twice the smaller weight, over the sum of all weights of both sides."""

    tag: str
    yours: float
    theirs: float
    adds: float


class MatchOut(BaseModel):
    """A branch that suits the caller, and why."""

    branch_id: str
    score: float
    reasons: list[str] = Field(description="The tags that made the score, strongest first")
    shares: list[ShareOut] = Field(description="The score's parts; they sum up to it")
    preference: PreferenceOut

    @classmethod
    def of(cls, found: SuitableBranch, taste: Tags) -> Self:
        """Show a branch with the sum behind its score."""
        why = suitability(taste, found.preference.tags)
        return cls(
            branch_id=found.preference.branch_id,
            score=found.score,
            reasons=why.reasons,
            shares=[
                ShareOut(tag=share.tag, yours=share.taste, theirs=share.offer, adds=round(share.adds, 6))
                for share in why.shares
            ],
            preference=PreferenceOut.of(found.preference, with_matched=False),
        )


class MatchPage(BaseModel):
    """A page of branches that suit the caller, best first."""

    items: list[MatchOut]
    next_cursor: str | None


class TagOut(BaseModel):
    """A tag, in the words that people use; one that a branch made up has none but its own."""

    tag: str
    group: str | None
    ko: str | None
    en: str | None
    branches: int = Field(description="Branches that have stated it")


class TagList(BaseModel):
    """What customers and branches can say of themselves."""

    items: list[TagOut]
    next_cursor: None = None

    @classmethod
    def of(cls, branches: Mapping[str, int]) -> Self:
        """List the catalogue in its order, then what branches use besides, the most used first."""
        known = [
            TagOut(tag=tag.name, group=tag.group, ko=tag.ko, en=tag.en, branches=branches.get(tag.name, 0))
            for tag in TAGS
        ]
        names = {tag.name for tag in TAGS}
        others = sorted((-count, name) for name, count in branches.items() if name not in names)
        return cls(
            items=known
            + [
                TagOut(tag=name, group=None, ko=None, en=None, branches=-count)
                for count, name in others[:OTHER_TAGS]
            ]
        )
