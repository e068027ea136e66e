"""What an error of the database means: it is away, busy, or refused a value. None of these is a bug."""

import errno
import socket
import sys

# The class of SQLSTATEs of a value that cannot be stored.
VALUE_REFUSED = "22"
# SQLSTATEs of a server that is away, full, read-only, too slow, starting or going down: trying again helps.
AWAY = ("08", "25006", "53", "57")
UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)

# SQLSTATEs of contention: lock timeout, deadlock, serialization failure.
CONTENTION = ("55P03", "40P01", "40001")


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
