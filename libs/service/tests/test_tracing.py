"""What a process that exports no spans makes of requests and spans: their measures, and ids that join."""

import json
import os
import subprocess
import sys
from typing import Any

SPANS = """
import json
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from laundry_events.message_spans import SENDING
from laundry_service.telemetry.tracing import configure_tracing

configure_tracing("tests", "0")
tracer = trace.get_tracer("tests")

def told(span):
    context = span.get_span_context()
    return [context.trace_id, context.span_id, context.trace_flags, context.is_valid, span.is_recording()]

found = {}
with tracer.start_as_current_span("outer") as outer:
    found["outer"] = told(outer)
    with tracer.start_as_current_span("inner", attributes={"a": 1}) as inner:
        found["inner"] = told(inner)
        found["current"] = told(trace.get_current_span())
        found["sending"] = told(trace.get_tracer(SENDING).start_span("send"))
with tracer.start_as_current_span("next") as following:
    found["next"] = told(following)
asked = NonRecordingSpan(SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(0)))
with tracer.start_as_current_span("asked", context=trace.set_span_in_context(asked)) as span:
    found["asked"] = told(span)
print(json.dumps(found))
"""

REQUESTS = """
import json
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from prometheus_client import generate_latest
from laundry_service.telemetry.tracing import configure_tracing, trace_requests

configure_tracing("tests", "0")
app = FastAPI()

@app.get("/things/{name}")
async def thing(name: str) -> str:
    if name == "broken":
        raise HTTPException(503)
    return name

trace_requests(app)
client = TestClient(app)
for path in ("/things/a", "/things/b", "/things/broken", "/nowhere"):
    client.get(path)
print(json.dumps(generate_latest().decode()))
"""


def said_by(program: str) -> Any:
    without = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=without,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_spans_have_ids_and_are_not_recorded_where_nothing_is_exported() -> None:
    found = said_by(SPANS)
    trace_id, outer, *rest = found["outer"]
    # May be recorded by whoever goes on with it.
    assert rest == [1, True, False]
    assert found["inner"][0] == trace_id
    assert found["current"] == found["inner"]
    assert found["sending"] == found["inner"]
    assert len({outer, found["inner"][1], found["next"][1]}) == 3
    assert found["next"][0] != trace_id
    # What was decided before stays.
    assert (found["asked"][0], found["asked"][2]) == (7, 0)
    assert found["asked"][1] != 8


def test_each_request_is_measured_once_by_method_route_and_status() -> None:
    text: str = said_by(REQUESTS)
    counted = {
        line.partition("{")[2]
        for line in text.splitlines()
        if line.startswith("http_server_request_duration_seconds_count")
    }
    labels = 'http_request_method="GET",http_response_status_code="{}",http_route="{}"}} {}.0'
    assert counted == {
        labels.format(200, "/things/{name}", 2),
        labels.format(503, "/things/{name}", 1),
        labels.format(404, "", 1),
    }
    assert 'le="0.025"' in text
    # Nothing else of the instrumentation's, whose labels nobody has chosen.
    assert text.count("# TYPE http_") == text.count("# TYPE http_server_request_duration_seconds")
