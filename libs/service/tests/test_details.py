"""Spans of database and object store: within a trace, while they are wanted, without what is secret."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from sqlalchemy import text

from laundry_service.settings import ObjectStoreSettings
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore
from laundry_service.telemetry import details, exporting
from laundry_service.telemetry.details import Switch, trace_database
from laundry_service.telemetry.resuming import resumed, traceparent
from laundry_service.telemetry.switching import TelemetrySwitching
from laundry_testing.plugin import Bucket

PLAIN = TracerProvider().get_tracer("tests")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The details that were recorded, as where spans are exported."""
    exporter, switch = InMemorySpanExporter(), Switch()
    monkeypatch.setattr(details, "switch", switch)
    monkeypatch.setattr("laundry_service.telemetry.switching.switch", switch)
    exporting.export_details(Resource.get_empty(), SimpleSpanProcessor(exporter))
    yield exporter


def said(exporter: InMemorySpanExporter) -> str:
    return "".join(each.to_json() for each in exporter.get_finished_spans())


@pytest.mark.servers
async def test_statements_are_spans_within_a_trace_and_without_their_values(
    ended: InMemorySpanExporter, database_url: str
) -> None:
    database = Database(database_url)
    trace_database(database.engine)

    async def ask() -> None:
        async with database.single() as connection:
            await connection.execute(text("SELECT CAST(:word AS text)"), {"word": "a person's name"})

    await ask()
    assert not ended.get_finished_spans()
    with PLAIN.start_as_current_span("request") as request:
        await ask()
    (span,) = ended.get_finished_spans()
    assert span.parent == request.get_span_context()
    assert (span.attributes or {})["db.system.name"] == "postgresql"
    assert "SELECT CAST" in said(ended)
    assert "a person's name" not in said(ended)
    ended.clear()
    details.switch.turn(False)
    with PLAIN.start_as_current_span("request"):
        await ask()
        # What comes behind is in the trace all the same.
        assert trace.get_current_span().get_span_context().trace_flags.sampled
    assert not ended.get_finished_spans()
    await database.close()


@pytest.mark.servers
async def test_requests_to_the_store_are_spans_that_name_no_key(
    ended: InMemorySpanExporter, bucket: Bucket
) -> None:
    store = ObjectStore(
        ObjectStoreSettings(
            service_name="tests",
            jwks_url="",
            jwt_issuer="",
            amqp_url=SecretStr(""),
            s3_endpoint_url=bucket.store.endpoint_url,
            s3_bucket=bucket.name,
            s3_access_key=SecretStr(bucket.store.access_key),
            s3_secret_key=SecretStr(bucket.store.secret_key),
        )
    )
    with PLAIN.start_as_current_span("request"):
        await store.put("photos/of-a-branch", b"body", media_type="text/plain")
        await store.get("photos/of-a-branch", max_bytes=10)
        with pytest.raises(ObjectMissing):
            await store.get("photos/of-nobody", max_bytes=10)
        await store.delete("photos/of-a-branch")
    spans = ended.get_finished_spans()
    assert [span.name for span in spans] == [
        "S3/PutObject",
        "S3/GetObject",
        "S3/GetObject",
        "S3/DeleteObject",
    ]
    assert [span.status.is_ok for span in spans] == [True, True, False, True]
    assert "of-a-branch" not in said(ended)
    assert "of-nobody" not in said(ended)
    details.switch.turn(False)
    with PLAIN.start_as_current_span("request"):
        await store.delete("photos/of-a-branch")
    assert len(ended.get_finished_spans()) == len(spans)


async def test_the_file_of_a_service_switches_it_and_no_other(
    ended: InMemorySpanExporter, tmp_path: Path
) -> None:
    watching = TelemetrySwitching(tmp_path, "helper")
    for content, on in (("off\n", False), ("on\n", True), (" OFF", False), ("", True)):
        (tmp_path / "helper").write_text(content)
        await watching.look()
        assert details.switch.on is on, content
    (tmp_path / "helper").write_text("off")
    await watching.look()
    (tmp_path / "helper").unlink()
    (tmp_path / "web").write_text("off")
    await watching.look()
    assert details.switch.on


async def test_where_nothing_is_exported_there_is_nothing_to_switch_on(tmp_path: Path) -> None:
    assert not Switch().on
    watching = TelemetrySwitching(None, "helper")
    await watching.start()
    await watching.stop()


def test_what_waited_in_a_database_goes_on_in_its_trace() -> None:
    with PLAIN.start_as_current_span("event") as event:
        stored = traceparent()
    with PLAIN.start_as_current_span("something else"), resumed("push", stored, others=[None, "?", stored]):
        found = trace.get_current_span().get_span_context()
    assert found.trace_id == event.get_span_context().trace_id
    assert traceparent() is None
    with resumed("push", None):
        pass


class Away(SpanExporter):
    result = SpanExportResult.FAILURE

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result

    def shutdown(self) -> None:
        return


def test_a_collector_that_did_not_answer_is_not_waited_for_at_the_end() -> None:
    exporter = Away()
    stopped: list[bool] = []
    collector = exporting.Collector(exporter)
    collector.export([])

    class Provider(TracerProvider):
        def shutdown(self) -> None:
            stopped.append(True)

    exporting._send_the_last(Provider(shutdown_on_exit=False), collector)
    assert stopped == []
    exporter.result = SpanExportResult.SUCCESS
    collector.export([])
    exporting._send_the_last(Provider(shutdown_on_exit=False), collector)
    assert stopped == [True]
