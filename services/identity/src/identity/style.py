"""The style sheet of the sign-in pages: the look of all pages, then what these add."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response

import laundry_look
from laundry_service.http.caching import is_known

OWN = Path(__file__).parent / "static" / "pages.css"


def style_router() -> APIRouter:
    """Make the route of the sheet. It is one, as painting waits for each."""
    files = [*(laundry_look.STATIC / "css" / name for name in laundry_look.SHEETS), OWN]
    sheet = b"\n".join(file.read_bytes() for file in files)
    headers = {"ETag": f'"{hashlib.sha256(sheet).hexdigest()[:32]}"', "Cache-Control": "public, no-cache"}
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/static/pages.css", methods=["GET", "HEAD"])
    async def style(request: Request) -> Response:
        if is_known(headers["ETag"], request.headers.get("If-None-Match")):
            return Response(status_code=304, headers=headers)
        return Response(sheet, media_type="text/css", headers=headers)

    return routes
