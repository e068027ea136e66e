"""How a process ends: its last spans are sent, and a collector that never answers does not hold it up."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

from laundry_testing.otlp import receiving

PROGRAM = """
from opentelemetry import trace
from laundry_service.telemetry.tracing import configure_tracing

configure_tracing("tests", "0")
with trace.get_tracer("tests").start_as_current_span("work"):
    pass
print("done", flush=True)
"""
SERVICE = """
import asyncio
import os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from laundry_service.http.settings import HttpSettings
from laundry_service.server import serve
from laundry_service.telemetry import exporting
from laundry_service.telemetry.resuming import resumed
from laundry_service.telemetry.tracing import configure_tracing

# This machine may be busy.
exporting.LAST_SPANS_S = 30
configure_tracing("tests", "0")

@asynccontextmanager
async def lifespan(_):
    print("up", flush=True)
    yield
    with resumed("last", os.environ["WITHIN"]):
        pass

app = FastAPI(lifespan=lifespan)
app.state.stopping = asyncio.Event()
serve(app, HttpSettings(port=0, metrics_port=0))
"""


def started(program: str, first: bytes, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program; it has printed this line."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, **settings}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    while (line := process.stdout.readline()) != first:
        assert line, "it ended before"
    return process


def test_a_collector_that_never_answers_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        # The exporter by itself would try for longer than we wait.
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_TIMEOUT": "120"}
        with started(PROGRAM, b"done\n", settings) as process:
            try:
                assert process.wait(60) == 0
            finally:
                process.kill()


def test_a_service_that_is_told_to_end_sends_its_last_spans() -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with receiving() as receiver:
        settings = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "WITHIN": f"00-{trace_id}-b7ad6b7169203331-01"}
        with started(SERVICE, b"up\n", receiver.environment | settings) as process:
            process.send_signal(signal.SIGTERM)
            # Not killed by the signal: that would leave out whatever Python does at its end.
            assert process.wait(60) == 0
        assert [span.name for span in receiver.trace(trace_id)] == ["last"]
