"""A database outage is not a bug: the caller gets 503 and may try again."""

import errno
import socket
import sys

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from laundry_service.http.problems import Problem, problem_response

RETRY_AFTER_S = 5
# The class of SQLSTATEs of a value that cannot be stored.
VALUE_REFUSED = "22"
# SQLSTATEs of a server that is away, full, read-only, too slow, starting or going down: trying again helps.
AWAY = ("08", "25006", "53", "57")
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)

# SQLSTATEs of contention: lock timeout, deadlock, serialization failure.
CONTENTION = ("55P03", "40P01", "40001")
BUSY_AGAIN_S = 1

log = structlog.get_logger(__name__)


def is_contention(error: BaseException) -> bool:
    """Whether the database is fine and only the requested rows are locked by somebody else."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state in CONTENTION


def is_outage(error: BaseException) -> bool:
    """Whether an error means that the database cannot be reached, rather than that a query is wrong."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_outage(each) for each in error.exceptions)
    # A server that starts refuses the login, which the driver takes for no lost connection.
    if str(getattr(getattr(error, "orig", error), "sqlstate", None) or "").startswith(AWAY):
        return True
    if isinstance(error, OSError) and error.errno in UNREACHABLE:
        return True
    return isinstance(error, ConnectionError | TimeoutError | socket.gaierror) or _connection_lost(error)


def _connection_lost(error: BaseException) -> bool:
    """Whether the driver, or the pool, says that there is no connection."""
    if "sqlalchemy" in sys.modules:
        from sqlalchemy import exc  # noqa: PLC0415 - a service without it need not load it (20 MB)

        if isinstance(error, exc.DBAPIError):
            lost = isinstance(error, exc.OperationalError | exc.InterfaceError)
            return error.connection_invalidated or lost
        if isinstance(error, exc.TimeoutError):
            return True
    if "asyncpg" in sys.modules:
        from asyncpg import InterfaceError  # noqa: PLC0415 - as above

        return isinstance(error, InterfaceError)
    return False


def is_unstorable(error: BaseException) -> bool:
    """Whether a value was refused, by the driver or by the server: class 22, data exception.

    A safety net below the checks of bodies, paths and cursors: the request is at fault, not the service.
    """
    said_by = (getattr(error, "orig", None), error.__cause__)
    return any(str(getattr(each, "sqlstate", None) or "").startswith(VALUE_REFUSED) for each in said_by)


def install_outages(app: FastAPI) -> None:
    """Answer 503 with Retry-After while the database is away; what was asked is not known to be done."""

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        if is_contention(error):
            log.warning("rows are held by somebody else", path=request.url.path, error=str(error)[:500])
            busy = Problem(
                503,
                "busy",
                "Somebody else is changing the same thing just now; nothing was done. Send it again soon.",
                headers={"Retry-After": str(BUSY_AGAIN_S)},
            )
            return problem_response(busy, request.url.path)
        if is_unstorable(error):
            log.warning("the database refused a value", path=request.url.path, error=str(error)[:500])
            refused = Problem(
                422,
                "value-unusable",
                "A value of the request, or of its token, cannot be stored: text with a NUL, or a number or"
                " time out of range.",
            )
            return problem_response(refused, request.url.path)
        if not is_outage(error):
            raise error
        log.warning("the database is away", path=request.url.path, error=str(error)[:500])
        problem = Problem(
            503,
            "database-unavailable",
            "The database is not reachable just now; what you asked may not be done. Send it again soon.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
        return problem_response(problem, request.url.path)

    kinds: list[type[Exception]] = [OSError]
    if "sqlalchemy" in sys.modules:
        from sqlalchemy import exc  # noqa: PLC0415

        kinds += [exc.DBAPIError, exc.TimeoutError]
    for kind in kinds:
        app.add_exception_handler(kind, on_error)
