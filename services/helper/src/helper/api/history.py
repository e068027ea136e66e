"""What is looked for among past tasks, and what a branch has washed."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query

from helper import repository
from helper.api.permissions import OwnerOrOperator, branches_of
from helper.history import BadPeriod, Search, days_of, period_of
from helper.repository import history
from helper.schemas import BRANCH, DayBody, WashedBody, WashedList
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database

USUAL_DAYS = 28
MOST_CHARACTERS = 80

Text = Annotated[str, Query(min_length=1, max_length=MOST_CHARACTERS)] | None
DayQuery = Annotated[date | None, Query(description="A day as the setting TIME_ZONE counts days")]


@dataclass(frozen=True)
class Wanted:
    """The query parameters of a search."""

    label: Annotated[Text, Query(description="A class that the owner confirmed")] = None
    note: Annotated[Text, Query(description="A part of the note")] = None
    helper: Annotated[Text, Query(description="A part of the helper's id")] = None
    first_day: DayQuery = None
    last_day: DayQuery = None

    def search(self, zone: ZoneInfo) -> Search:
        """Return what is looked for. Raises Problem: 422, there are no such days."""
        try:
            return Search(self.label, self.note, self.helper, period_of(self.first_day, self.last_day, zone))
        except BadPeriod as error:
            raise _bad_period(error) from error


def history_router(database: Database, zone: ZoneInfo) -> APIRouter:
    """Make the endpoint that counts what was washed."""
    api = APIRouter(tags=["tasks"])

    @api.get("/tasks/washed", summary="Count what was washed, by day and class")
    async def washed(
        principal: OwnerOrOperator,
        branch_id: Annotated[str | None, Query(pattern=f"^{BRANCH.pattern}$")] = None,
        first_day: DayQuery = None,
        last_day: DayQuery = None,
    ) -> WashedList:
        """Count confirmed loads by the day on which they were registered: 28 days if none are said."""
        today = datetime.now(zone).date()
        try:
            first, last = days_of(first_day, last_day, today=today, usual=USUAL_DAYS)
            period = period_of(first, last, zone)
        except BadPeriod as error:
            raise _bad_period(error) from error
        async with repository.single(database) as connection:
            days, items = await history.washed(
                connection, branches_of(principal, branch_id), period, zone.key
            )
        return WashedList(
            time_zone=zone.key,
            first_day=first,
            last_day=last,
            days=[DayBody.model_validate(each) for each in days],
            items=[WashedBody.model_validate(each) for each in items],
        )

    return api


def _bad_period(error: BadPeriod) -> Problem:
    return Problem(422, "period-invalid", f"{error} Send first_day and last_day as 2026-03-09.")
