"""A real Prometheus that scrapes the stack, and what its answers say of a query."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import yaml

from laundry.deploy import prometheus
from laundry_servers.ports import free_port

EVERY_S = 1
START_S = 30


class Prometheus:
    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)

    def ready(self) -> bool:
        try:
            return self._client.get("/-/ready").is_success
        except httpx.HTTPError:
            return False

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the series that a query has now; numbers that are none are no answer."""
        found: list[dict[str, Any]] = self._get("/api/v1/query", query=query)["result"]
        return [series for series in found if series["value"][1] != "NaN"]

    def range(self, query: str, *, seconds: float, steps: int) -> list[dict[str, Any]]:
        """Return the series that a query had lately."""
        now = time.time()
        asked = {"query": query, "start": now - seconds, "end": now, "step": seconds / steps}
        found: list[dict[str, Any]] = self._get("/api/v1/query_range", **asked)["result"]
        return found

    def _get(self, path: str, **parameters: Any) -> Any:
        answer = self._client.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()["data"]


@contextmanager
def scraping(document: Mapping[str, Any], folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus on a stack for the duration of the block.

    Raises:
        FileNotFoundError: it is not installed.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("Prometheus is not installed (Debian: apt-get install prometheus)")
    config = folder / "prometheus.yml"
    config.write_text(
        yaml.safe_dump(prometheus.for_stack(document, rules=str(prometheus.RULES), every_s=EVERY_S))
    )
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        asked, targets = Prometheus(f"http://{address}"), _targets(document)
        ends_at = time.monotonic() + START_S
        # What happens before the first scrape is no increase.
        while not (asked.ready() and len(asked.ask("up == 1 and count_over_time(up[1m]) > 1")) == targets):
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            assert time.monotonic() < ends_at, "Prometheus does not scrape everything"
            time.sleep(0.2)
        yield asked
    finally:
        process.terminate()
        process.wait(10)


def _targets(document: Mapping[str, Any]) -> int:
    return len(document["metrics_urls"]) + len(document["broker_metrics_urls"])


def selectors(query: str) -> list[str]:
    """Return what a query selects, each as a query of its own: without a range or an offset."""
    found: dict[str, None] = {}

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found[_plain(node)] = None
        return True

    promql_parser.walk(promql_parser.parse(query), visit)
    return list(found)


def _plain(selector: Any) -> str:
    matchers = (
        f"{each.name}{SIGN[str(each.op)]}{json.dumps(each.value)}" for each in selector.matchers.matchers
    )
    return f"{selector.name}{{{','.join(matchers)}}}"


SIGN = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
