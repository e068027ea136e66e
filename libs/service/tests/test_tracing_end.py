"""A collector that takes connections and never answers does not hold up the end of a process."""

import os
import socket
import subprocess
import sys
import time

PROGRAM = """
from opentelemetry import trace
from laundry_service.telemetry.tracing import configure_tracing

configure_tracing("tests", "0")
with trace.get_tracer("tests").start_as_current_span("work"):
    pass
print("done", flush=True)
"""
# One second for the last spans, and the interpreter's own end; the exporter by itself tries for 10 and more.
LONGEST_S = 6


def test_a_collector_that_never_answers_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": address},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
            ends_at = time.monotonic()
            assert process.wait(60) == 0
    assert time.monotonic() - ends_at < LONGEST_S
