"""``/people``: what is held of a person as a file, and forgetting a person."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from laundry_service.audit.acts import Actor
from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import page_of
from laundry_service.http.problems import Problem
from operations.api.permissions import Operator
from operations.schemas import ErasureOut, ErasurePage, ErasureRequest, PersonErasureRequest, PersonRequest
from operations.service.erasures import Erasures
from operations.service.exports import Exports, Incomplete, chunks

Person = Annotated[Principal, Depends(require("helper", "owner", "customer", "operator"))]
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/json": {"schema": {"type": "object"}}},
        "description": "`person`, `made_at`, and `services`: by service and kind, the rows about the person",
    }
}


def people_router(erasures: Erasures, exports: Exports) -> APIRouter:
    """Make the endpoints below ``/people``."""
    router = APIRouter(prefix="/people", tags=["people"])

    async def export(request: Request, person: str, caller: Principal) -> StreamingResponse:
        try:
            file = await exports.collect(person, request.headers["authorization"])
        except Incomplete as error:
            raise Problem(
                503,
                "export-incomplete",
                f"The service {error.service} does not answer just now, and an export is whole or there is "
                "none. Ask again in a minute.",
                headers={"Retry-After": "60"},
                service=error.service,
            ) from error
        await erasures.exported(person, by=Actor.of(caller))
        headers = {"Content-Disposition": 'attachment; filename="personal-data.json"'}
        return StreamingResponse(chunks(file), media_type="application/json", headers=headers)

    @router.get("/me/export", response_class=StreamingResponse, responses=FILE)
    async def export_own(request: Request, caller: Person) -> StreamingResponse:
        """Fetch everything that every service holds of the caller, as one JSON file."""
        return await export(request, caller.sub, caller)

    @router.post("/export", response_class=StreamingResponse, responses=FILE)
    async def export_any(request: Request, operator: Operator, asked: PersonRequest) -> StreamingResponse:
        """The same of anybody; the audit keeps who asked."""
        return await export(request, asked.person, operator)

    @router.post("/me/erasure", status_code=202)
    async def erase_own(caller: Person, asked: ErasureRequest, response: Response) -> ErasureOut:
        """Ask to be forgotten by every service. It cannot be taken back."""
        return await erase(caller.sub, caller, asked, response)

    @router.get("/me/erasure")
    async def own_erasure(caller: Person) -> ErasureOut:
        """Read how far the caller's own erasure is, while it is under way."""
        found = await erasures.of(caller.sub)
        if found is None:
            raise Problem(404, "erasure-unknown", "No erasure is under way.")
        return ErasureOut.of(found)

    @router.post("/erasures", status_code=202)
    async def erase_any(operator: Operator, asked: PersonErasureRequest, response: Response) -> ErasureOut:
        """Have anybody forgotten by every service. It cannot be taken back."""
        return await erase(asked.person, operator, asked, response)

    async def erase(person: str, caller: Principal, asked: ErasureRequest, response: Response) -> ErasureOut:
        found, known = await erasures.request(person, by=Actor.of(caller), reason=asked.reason)
        if known:
            response.headers["Idempotent-Replay"] = "true"
        return ErasureOut.of(found)

    @router.get("/erasures")
    async def list_erasures(
        _: Operator,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=40, pattern=r"^[0-9a-f-]+$")] = None,
    ) -> ErasurePage:
        """Read the erasures, newest first: which services have forgotten whom, and which are missing."""
        found = await erasures.newest(limit=limit + 1, before=cursor)
        shown, last = page_of(found, limit)
        return ErasurePage(
            items=[ErasureOut.of(each) for each in shown],
            next_cursor=None if last is None else last.id,
        )

    @router.get("/erasures/{id}")
    async def get_erasure(_: Operator, id: str) -> ErasureOut:  # noqa: A002 - its name in the path
        """Read one erasure by its id."""
        found = await erasures.find(id)
        if found is None:
            raise Problem(404, "erasure-unknown", "There is no such erasure.")
        return ErasureOut.of(found)

    return router
