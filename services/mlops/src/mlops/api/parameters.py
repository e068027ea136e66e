"""Who may ask, and the parameters that several endpoints take."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi import Path as PathParam

from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal

Reader = Annotated[Principal, Depends(require("owner", "operator", "helper"))]
Operator = Annotated[Principal, Depends(require("operator"))]
Limit = Annotated[int, Query(ge=1, le=200)]
# Text that the database can store; anything else cannot be a version.
PLAIN = r"^[A-Za-z0-9._-]{1,64}$"
Name = Annotated[str, PathParam(pattern=PLAIN)]
Cursor = Annotated[
    str | None, Query(max_length=64, pattern=PLAIN, description="`next_cursor` of the page before")
]
