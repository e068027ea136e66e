"""Who may call what."""

from typing import Annotated

from fastapi import Depends

from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal

Customer = Annotated[Principal, Depends(require("customer"))]
Withdrawing = Annotated[Principal, Depends(require("owner", "operator"))]
Operator = Annotated[Principal, Depends(require("operator"))]
Owner = Annotated[Principal, Depends(require("owner"))]
