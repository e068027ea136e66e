"""Every query of a dashboard or an alert finds what it asks for in a Prometheus that scrapes the stack."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from laundry.demo.client import until
from laundry.demo.photos import sample_photos
from laundry.demo.story import Story
from laundry.deploy import grafana, prometheus
from laundry.deploy.dashboards import DASHBOARDS
from laundry_lab.prometheus import Prometheus, scraping
from laundry_servers.errors import LaundryError
from tests.stack.queries import selectors

RULES = yaml.safe_load(prometheus.RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule["expr"] for group in RULES for rule in group["rules"]}
PANELS = {
    f"{dashboard.title}: {panel.title} ({number})": grafana.in_namespace(query.expr, ".*")
    for dashboard in DASHBOARDS
    for number, (panel, query) in enumerate(dashboard.queries)
}
ENOUGH_S = 60.0


@pytest.fixture(scope="module")
def stack_folder(encrypted_folder: Path) -> Path:
    return encrypted_folder


@pytest.fixture(scope="module")
def stack(encrypted_stack: dict[str, Any]) -> dict[str, Any]:
    """Some alerts look at certificates, which only this one has."""
    return encrypted_stack


@pytest.fixture(scope="module")
def scraped(stack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    try:
        with scraping(stack, tmp_path_factory.mktemp("prometheus")) as asked:
            yield asked
    except LaundryError as missing:
        pytest.skip(str(missing))


def test_a_query_is_taken_apart_into_what_it_selects() -> None:
    query = 'histogram_quantile(0.9, rate(a_bucket{le!="1"}[5m] offset 1d)) > on (x) max(b) and absent(c)'
    assert selectors(query) == ['a_bucket{le!="1"}', "b{}", "c{}"]


@pytest.mark.stack
@pytest.mark.servers
@pytest.mark.timeout(420)
async def test_every_query_returns_data(scraped: Prometheus, story: Story) -> None:
    await story.register_phones()
    await story.break_a_washer()
    before = await story.shares()
    await story.upload(sample_photos(2, seed=hash(story.mark)), lambda: None)
    await story.wait_for_readings(before, lambda: None)
    async with httpx.AsyncClient(timeout=10) as nobody:
        assert (await nobody.get(f"{story.services.stack['helper_url']}/tasks")).status_code == 401

    def empty() -> dict[str, str]:
        without = {name: query for name, query in PANELS.items() if not scraped.ask(query)}
        # An alert that does not ring returns nothing: what it compares must be there.
        without |= {
            f"{name}: {selector}": query
            for name, query in ALERTS.items()
            for selector in selectors(query)
            if not scraped.ask(selector)
        }
        return without

    left: dict[str, str] = {}

    async def answered() -> bool:
        left.clear()
        left.update(await asyncio.to_thread(empty))
        return not left

    try:
        await until(answered, within_s=ENOUGH_S, what="an answer to every query")
    except Exception:
        pytest.fail("no data:\n" + "\n".join(f"{name}\n    {query}" for name, query in left.items()))


@pytest.mark.stack
@pytest.mark.servers
async def test_a_metric_that_nobody_exports_has_no_data(scraped: Prometheus) -> None:
    assert not scraped.ask(selectors("max(laundry_queue_lenght) > 1000")[0])
