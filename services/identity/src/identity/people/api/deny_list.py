"""``/deny-list.json``: who is cut off before a token ends, as every service reads it."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Response

from identity.database import in_database
from identity.people import repository
from identity.people.models import Denial
from laundry_service.http.caching import is_known


def deny_list_router() -> APIRouter:
    """Make the endpoint. It names subjects only, and asks for no token: services have none."""
    router = APIRouter(include_in_schema=False)

    def current() -> Sequence[Denial]:
        return repository.denials(repository.clock())

    @router.get("/deny-list.json")
    async def show(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        entries = [
            {"sub": each.sub, "issued_before": _text(each.issued_before), "until": _text(each.until)}
            for each in await in_database(current)
        ]
        body = json.dumps({"denied": entries}, ensure_ascii=False).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if is_known(etag, if_none_match):
            return Response(status_code=304, headers={"ETag": etag})
        return Response(body, media_type="application/json", headers={"ETag": etag})

    return router


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
