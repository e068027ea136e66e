"""HTTP: what a service holds of a person, line by line; operations collects it from all of them."""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field

from laundry_service.auth.callers import Caller
from laundry_service.auth.claims import MAX_SUBJECT
from laundry_service.http.problems import Problem
from laundry_service.http.validation import RequestBody
from laundry_service.personal_data.held import PersonalData

MEDIA_TYPE = "application/x-ndjson"


class PersonalDataRequest(RequestBody):
    """Whose data is asked for; in the body, as addresses end up in logs."""

    person: str | None = Field(
        default=None, min_length=1, max_length=MAX_SUBJECT, description="A sub; without it, one's own"
    )


def personal_data_router(data: PersonalData) -> APIRouter:
    """Make the endpoint by which a service exports what it holds of a person."""
    router = APIRouter(tags=["personal data"])

    @router.post(
        "/personal-data",
        summary="What is held of oneself; of anybody, for operators",
        response_class=StreamingResponse,
        responses={
            200: {
                "content": {MEDIA_TYPE: {}},
                "description": 'A line for each row, {"kind", "row"}; the last is {"rows": number}',
            }
        },
    )
    async def personal_data(caller: Caller, asked: PersonalDataRequest) -> StreamingResponse:
        person = caller.sub if asked.person is None else asked.person
        if person != caller.sub and caller.role != "operator":
            raise Problem(403, "person-forbidden", "Everybody may ask for their own data only.")
        return StreamingResponse(_lines(data, person), media_type=MEDIA_TYPE)

    return router


async def _lines(data: PersonalData, person: str) -> AsyncIterator[str]:
    number = 0
    async for kind, row in data.export(person):
        number += 1
        yield json.dumps({"kind": kind, "row": row}, ensure_ascii=False) + "\n"
    # Whoever reads it knows by this line that nothing was cut off.
    yield json.dumps({"rows": number}) + "\n"
