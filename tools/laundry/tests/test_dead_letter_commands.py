"""``laundry dlq``, on a real broker."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from laundry.cli import app
from laundry.commands import dead_letter_acts as acts
from laundry_dead_letters.audit import FileAudit
from laundry_events.plan import DEAD_EXCHANGE, dead_queue
from laundry_events.topology import HISTORY_INTAKE
from laundry_testing.messaging import Messaging

from .burying import DEAD, FAILED, QUEUE, bury, waiting

Run = Callable[..., Any]
BOTH = (QUEUE, HISTORY_INTAKE)


@pytest.fixture
def audit(tmp_path: Path) -> FileAudit:
    return FileAudit(tmp_path / "audit" / "dead-letters.jsonl")


@pytest.fixture
def run(messaging: Messaging, tmp_path: Path) -> Run:
    """Run ``laundry dlq`` as a person would, beside the test's event loop."""

    async def run(*arguments: str, answer: str | None = None, **variables: str) -> Any:
        environment = {
            "LAUNDRY_AMQP_URL": messaging.amqp_url,
            "LAUNDRY_VAR_DIR": str(tmp_path),
            **variables,
        }
        return await asyncio.to_thread(
            CliRunner().invoke, app, ["dlq", *arguments], input=answer, env=environment
        )

    return run


@pytest.mark.servers
async def test_the_default_of_redrive_shows_and_changes_nothing(
    messaging: Messaging, run: Run, audit: FileAudit
) -> None:
    await bury(messaging, "m1", **{"x-redriven": 2})
    shown = await run("redrive", DEAD)
    assert shown.exit_code == 0, shown.output
    assert "1 dead letters would be sent back" in shown.output
    assert "already redriven 2×" in shown.output
    await waiting(messaging, 1)
    silent = await run("redrive", QUEUE, "--execute", "--by", "kim")
    assert silent.exit_code == 1, "a reason is asked for"
    assert await messaging.count(QUEUE) == 0
    assert list(audit.records()) == []
    done = await run("redrive", QUEUE, "--execute", "--by", "kim", "--reason-text", "mended")
    assert done.exit_code == 0, done.output
    assert (await messaging.take(QUEUE)).headers["x-redrive-reason"] == "mended"
    assert [(one["by"], one["action"], one["queue"], one["reason"]) for one in audit.records()] == [
        ("kim", "redrive", QUEUE, "mended")
    ]


@pytest.mark.servers
async def test_what_was_not_looked_at_and_what_is_left_is_said(messaging: Messaging, run: Run) -> None:
    for number in range(3):
        await bury(messaging, f"m{number}")
    shown = await run("redrive", QUEUE, "--reason", "malformed", "--scan", "2")
    assert "0 dead letters would be sent back" in shown.output
    assert "Looked at 2 of 3" in shown.output
    await waiting(messaging, 3)
    done = await run("redrive", QUEUE, "--execute", "--limit", "1", "--reason-text", "mended")
    assert "1 sent back, 2 left" in done.output


@pytest.mark.servers
async def test_of_several_nodes_one_that_answers_is_asked(messaging: Messaging, run: Run) -> None:
    await bury(messaging, "m1")
    urls = f"amqp://kim:here@127.0.0.1:1/, {messaging.amqp_url}"
    shown = await run("show", QUEUE, "--json", LAUNDRY_AMQP_URL=urls)
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["message_id"] == "m1"


@pytest.mark.servers
async def test_names_to_type_again_are_whole_in_a_narrow_terminal(messaging: Messaging, run: Run) -> None:
    reason = "a-reason-that-is-longer-than-its-column-in-a-narrow-terminal"
    await bury(messaging, "m1", **{"x-dead-reason": reason, "x-error-digest": "0123456789abcdef"})
    listed = await run("list", COLUMNS="80")
    assert "…" not in listed.output
    await waiting(messaging, 1)
    assert "0123456789abcdef" in (await run("show", QUEUE)).output


@pytest.mark.servers
async def test_discard_asks_and_leaves_a_record(messaging: Messaging, run: Run, audit: FileAudit) -> None:
    await bury(messaging, "m1")
    await bury(messaging, "m2")
    assert (await run("discard", QUEUE, "--yes")).exit_code == 1, "no reason was given"
    refused = await run("discard", QUEUE, "--reason-text", "a test", answer="n\n")
    assert refused.exit_code == 1, refused.output
    assert "Nothing was discarded" in refused.output
    await waiting(messaging, 2)
    assert list(audit.records()) == []
    agreed = await run("discard", QUEUE, "--id", "m1", "--reason-text", "a test", answer="y\n")
    assert agreed.exit_code == 0, agreed.output
    await waiting(messaging, 1)
    [record] = audit.records()
    assert (record["action"], record["id"], record["dead_reason"]) == ("discard", "m1", "retries-exhausted")
    assert "a test" in (await run("audit", "--json")).output


@pytest.mark.servers
async def test_a_letter_that_is_the_same_in_two_queues_is_sent_back_to_both(
    messaging: Messaging, run: Run, audit: FileAudit
) -> None:
    for queue in BOTH:
        await messaging.publish_raw(DEAD_EXCHANGE, dead_queue(queue), b"{}", headers=FAILED, message_id="m1")
    for queue in BOTH:
        done = await run("redrive", queue, "--execute", "--reason-text", "upgraded")
        assert "1 sent back, 0 left" in done.output, done.output
        assert (await messaging.take(queue)).message_id == "m1"
        await waiting(messaging, 0, dead_queue(queue))
    assert [(one["queue"], one["id"]) for one in audit.records()] == [(queue, "m1") for queue in BOTH]


@pytest.mark.servers
async def test_of_letters_that_are_the_same_in_two_queues_only_the_one_that_was_shown_is_discarded(
    messaging: Messaging, run: Run
) -> None:
    for queue in BOTH:
        await messaging.publish_raw(DEAD_EXCHANGE, dead_queue(queue), b"{}", headers=FAILED, message_id="m1")

    async def gone_meanwhile(*_: Any) -> None:
        await messaging.take(DEAD)

    with patch.object(acts, "confirmed", lambda _: asyncio.run(gone_meanwhile()) is None):
        done = await run("discard", "--id", "m1", "--limit", "1", "--reason-text", "a test")
    assert "0 discarded" in done.output, done.output
    await waiting(messaging, 1, dead_queue(HISTORY_INTAKE))


@pytest.mark.servers
async def test_an_export_holds_headers_and_bytes_and_removes_nothing(
    messaging: Messaging, run: Run, tmp_path: Path
) -> None:
    body = b"\xff\x00 no JSON"
    await messaging.publish_raw(DEAD_EXCHANGE, DEAD, body, headers=FAILED, message_id="m1")
    target = tmp_path / "letters.jsonl"
    done = await run("export", QUEUE, "--file", str(target))
    assert done.exit_code == 0, done.output
    [line] = [json.loads(text) for text in target.read_text().splitlines()]
    assert (line["message_id"], line["headers"]) == ("m1", FAILED)
    assert base64.b64decode(line["body_base64"]) == body
    await waiting(messaging, 1)
    lines = (await run("list", "--json")).stdout.splitlines()
    counts = {queue["dead_letter_queue"]: queue["messages"] for queue in map(json.loads, lines)}
    assert {name for name, count in counts.items() if count} == {DEAD}
    await waiting(messaging, 1)
    shown = await run("show", "--id", "m1")
    assert "the database is away" in shown.output, shown.output
