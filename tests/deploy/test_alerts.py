"""Every alert asks for what is counted, says what to do, and is seen to fire and to keep still."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from laundry.deploy import chart, check, tools
from laundry.paths import PROJECT
from laundry_servers.addresses import BrokerAddress
from laundry_servers.errors import LaundryError

WATCHDOG = "LaundryWatchdog"
OF_THE_BROKER = {"LaundryBrokerDiskFills", "LaundryBrokerMemoryFills"}
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((chart.CHART / "files" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_exist_and_says_what_to_do(rule: dict[str, Any]) -> None:
    files = [*PROJECT.glob("services/*/src/**/*.py"), *PROJECT.glob("libs/*/src/**/*.py")]
    code = "\n".join(file.read_text() for file in files)
    wanted = set(re.findall(r"\blaundry_[a-z_]+", rule["expr"]))
    assert wanted or rule["alert"] in OF_THE_BROKER or rule["alert"] == WATCHDOG
    for name in wanted:
        stem = re.sub(r"_(total|sum|count|bucket)$", "", name)
        assert re.search(rf'"{stem}(_total)?"', code), f"nobody counts {name}"
    page, anchor = rule["annotations"]["runbook"].split("#")
    assert f"\n### {rule['alert']}\n" in (PROJECT / page).read_text()
    assert anchor == rule["alert"].lower()
    assert {"summary", "description"} <= rule["annotations"].keys()


def test_every_alert_is_seen_to_fire_and_to_keep_still() -> None:
    files = [yaml.safe_load(file.read_text()) for file in check.ALERT_TESTS.glob("*.test.yaml")]
    cases = [case for file in files for test in file["tests"] for case in test["alert_rule_test"]]
    for rule in ALERTS:
        fired = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
        assert set(fired) == ({True} if rule["alert"] == WATCHDOG else {True, False}), rule["alert"]


def test_whoever_is_called_is_missed_by_name() -> None:
    processes: dict[str, dict[str, Any]] = yaml.safe_load(chart.SERVICES_FILE.read_text())
    [down] = [rule for rule in ALERTS if rule["alert"] == "LaundryProcessDown"]
    missed = re.findall(r'absent\(laundry_http_connections\{job="([a-z-]+)"\}\)', down["expr"])
    assert missed == [name for name, facts in processes.items() if facts.get("port")]
    # Whoever is not called reads a queue, where it is missed.
    assert all(facts.get("port") or facts["consumes"] for facts in processes.values())


@pytest.mark.servers
def test_the_broker_tells_what_the_alerts_on_it_ask_for(rabbitmq: BrokerAddress) -> None:
    if not rabbitmq.prometheus_urls:
        pytest.skip("the broker that is given here has no address of its metrics")
    told = "".join(httpx.get(url, timeout=30).text for url in rabbitmq.prometheus_urls)
    for rule in ALERTS:
        for name in re.findall(r"\brabbitmq_[a-z_]+", rule["expr"]):
            assert f"\n{name}" in told, name


def test_an_alert_that_no_longer_fires_is_found(tmp_path: Path) -> None:
    if tools.promtool(fetch=False) is None:
        pytest.skip("promtool is not installed; `laundry check-deploy --fetch` puts it into the cache folder")
    rules = (chart.CHART / "files" / "alerts.yaml").read_text()
    (tmp_path / "alerts.yaml").write_text(rules.replace(">= 2", ">= 3"))
    tests = (check.ALERT_TESTS / "alerts.test.yaml").read_text()
    (tmp_path / "alerts.test.yaml").write_text(
        tests.replace("../../deploy/helm/laundry/files/alerts.yaml", "alerts.yaml")
    )
    with pytest.raises(LaundryError, match="LaundryTrainingFails"):
        check.check_alerts(tmp_path, fetch=False)
