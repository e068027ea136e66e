"""Structured logs: one JSON object a line, with the trace and the event that it belongs to."""

import io
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
from opentelemetry import trace


class RateLimitFilter(logging.Filter):
    """Rate-limits repeated log lines of libraries to one a minute.

    While the broker is down, each connection logs every attempt: two lines a second.
    """

    def __init__(
        self, *libraries: str, every_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._libraries = libraries
        self._every_s = every_s
        self._clock = clock
        self._told_at: dict[tuple[str, int], float] = {}
        self._left_out: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to emit a record; an emitted one also says how many were suppressed."""
        if record.name.partition(".")[0] not in self._libraries:
            return True
        # Texts differ by addresses and times; where they come from does not.
        kind, now = (record.name, record.lineno), self._clock()
        if now - self._told_at.get(kind, float("-inf")) < self._every_s:
            self._left_out[kind] += 1
            return False
        self._told_at[kind] = now
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            record.msg, record.args = (
                f"{record.getMessage()} (and {left_out} more since)",
                (),
            )
        return True


def _add_trace(_: Any, __: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"] = format(context.trace_id, "032x")
        entry["span_id"] = format(context.span_id, "016x")
    return entry


# One list for the life of the process: loggers keep the processors they were first used with.
_processors: list[structlog.typing.Processor] = []


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send our logs and those of the libraries to standard output as JSON."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        structlog.processors.StackInfoRenderer(),
    ]
    _processors[:] = [*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )

    def add_service(_: Any, __: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
        entry["service"] = service
        return entry

    if isinstance(sys.stdout, io.TextIOWrapper):
        # Untrusted text may hold a lone surrogate; that must not lose the line.
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                add_service,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
        )
    )
    handler.addFilter(RateLimitFilter("aio_pika", "aiormq", "opentelemetry"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn.access", "aio_pika", "aiormq", "urllib3", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for own in ("uvicorn", "uvicorn.error"):
        logging.getLogger(own).handlers = []
        logging.getLogger(own).propagate = True
