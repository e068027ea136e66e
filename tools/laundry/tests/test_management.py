"""What the broker's management does not tell is no number, and no traceback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from laundry.management import QueuesUnknown, queue_totals
from laundry_events.broker_plan import Target
from laundry_servers.errors import LaundryError


@contextmanager
def telling(*queues: dict[str, Any]) -> Iterator[Target]:
    """A broker whose management lists these queues."""

    class Management(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(queues).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Management) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Target(f"http://127.0.0.1:{server.server_port}", "kim", "here", None)
        finally:
            server.shutdown()


def test_counts_are_told_of_the_queues_that_are_asked_for() -> None:
    with telling({"name": "a", "messages": 3}, {"name": "b", "messages": 0}) as broker:
        totals = queue_totals(broker, of=["a", "b"])
    assert [totals[name]["messages"] for name in "ab"] == [3, 0]


@pytest.mark.parametrize("b", [[], [{"name": "b"}]], ids=["not listed", "without counts"])
def test_a_queue_of_which_nothing_is_told_is_named_with_what_to_do(b: list[dict[str, Any]]) -> None:
    with telling({"name": "a", "messages": 3}, *b) as broker:
        assert queue_totals(broker)["a"]["messages"] == 3
        with pytest.raises(QueuesUnknown, match=r"what is in b\..*topology apply") as told:
            queue_totals(broker, of=["a", "b"])
    assert told.value.names == ["b"]
    # The command line shows it as a sentence.
    assert isinstance(told.value, LaundryError)
