"""A real Prometheus that scrapes a running stack and evaluates the chart's alerts."""

import math
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from laundry.deploy import prometheus
from laundry_servers.errors import LaundryError
from laundry_servers.ports import free_port

EVERY_S = 1
START_S = 30
WATCHDOG = "LaundryWatchdog"
"""It always rings."""


class Prometheus:
    """Asks a Prometheus."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return self._client.get("/-/ready").is_success
        except httpx.HTTPError:
            return False

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the series that a query has now; numbers that are none are no answer."""
        found: list[dict[str, Any]] = self._get("/api/v1/query", query=query)["result"]
        return [series for series in found if series["value"][1] != "NaN"]

    def rings(self, lately_s: float = 0) -> set[str]:
        """Return the alerts that ring now, or have rung at some time in the last seconds."""
        firing = 'ALERTS{alertstate="firing"}'
        found = self.ask(f"max_over_time({firing}[{math.ceil(lately_s)}s])" if lately_s else firing)
        return {series["metric"]["alertname"] for series in found} - {WATCHDOG}

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
def scraping(document: Mapping[str, Any], folder: Path, *, at_once: bool = False) -> Iterator[Prometheus]:
    """Run a Prometheus on a stack for the duration of the block.

    Args:
        document: the stack's ``var/stack.json``.
        folder: where its files are written.
        at_once: let alerts ring as soon as what they look at is so, not only after it was so for a while.

    Raises:
        LaundryError: it is not installed, or does not scrape everything.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise LaundryError("Prometheus is not installed (Debian: apt-get install prometheus)")
    folder.mkdir(parents=True, exist_ok=True)
    rules = _impatient(folder) if at_once else prometheus.RULES
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(prometheus.for_stack(document, rules=str(rules), every_s=EVERY_S)))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
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
            if process.poll() is not None or time.monotonic() > ends_at:
                told = (folder / "prometheus.log").read_text()[-1500:]
                raise LaundryError(f"Prometheus does not scrape everything:\n{told}")
            time.sleep(0.2)
        yield asked
    finally:
        process.terminate()
        process.wait(10)


def _impatient(folder: Path) -> Path:
    document = yaml.safe_load(prometheus.RULES.read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    file = folder / "alerts.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def _targets(document: Mapping[str, Any]) -> int:
    return len(document["metrics_urls"]) + len(document["broker_metrics_urls"])
