"""What a module logs, as a list."""

from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import structlog
from structlog.testing import LogCapture


@contextmanager
def logged_by(*modules: str) -> Iterator[list[MutableMapping[str, Any]]]:
    """Collect the entries of the modules' ``log``: ``event``, ``log_level`` and what was said beside them.

    ``structlog.testing.capture_logs`` sees nothing of a logger that was used before an app of another test
    configured levels and processors, as loggers are cached on first use.
    """
    capture = LogCapture()
    with ExitStack() as stack:
        for module in modules:
            log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.BoundLogger)
            stack.enter_context(patch(f"{module}.log", log))
        yield capture.entries
