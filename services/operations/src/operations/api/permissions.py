"""Who may call: operators only."""

from typing import Annotated

from fastapi import Depends

from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal

Operator = Annotated[Principal, Depends(require("operator"))]
