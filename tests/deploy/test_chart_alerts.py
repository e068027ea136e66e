"""The chart's alerts look for the processes that it installs, by the names that they have in Prometheus."""

import re
from typing import Any

import pytest

from laundry.deploy import chart, values
from tests.deploy.test_chart import FACTS, SCRAPED_OTHERWISE, named, rendered

ANOTHER_PROVIDER = (
    "--set",
    "identity.enabled=false,identity.issuer=https://sso.example,identity.jwksUrl=https://sso.example/keys",
)
JOB_IS = "app.kubernetes.io/name"


def alerts(*arguments: str) -> dict[str, dict[str, Any]]:
    groups = named(rendered(*arguments), "PrometheusRule", "laundry-alerts")["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@pytest.mark.parametrize("arguments", [(), ANOTHER_PROVIDER, (*ANOTHER_PROVIDER, *SCRAPED_OTHERWISE)])
def test_nobody_is_missed_who_is_not_installed(arguments: tuple[str, ...]) -> None:
    objects = rendered(*arguments)
    installed = {each["metadata"]["name"] for each in objects if each["kind"] == "Deployment"}
    asked = re.findall(r'absent\(\w+\{[^}]*job="([a-z-]+)"', alerts(*arguments)["LaundryProcessDown"]["expr"])
    assert asked == [
        name for name, facts in FACTS.items() if facts.get("port") and f"laundry-{name}" in installed
    ]


def test_alerts_without_an_identity_service_are_else_the_same() -> None:
    own, other = alerts(), alerts(*ANOTHER_PROVIDER)
    assert {name for name in own if own[name] != other[name]} == {"LaundryProcessDown"}


def test_who_scrapes_otherwise_is_told_by_which_job_a_process_is_known() -> None:
    objects = rendered()
    assert named(objects, "PodMonitor", "laundry-services")["spec"]["jobLabel"] == JOB_IS
    for name in FACTS:
        pod = named(objects, "Deployment", f"laundry-{name}")["spec"]["template"]
        assert pod["metadata"]["labels"][JOB_IS] == name
    told = {each.path: each.meaning for each in values.values(chart.VALUES_FILE.read_text())}
    meaning = told["metrics", "scrapedOtherwise"]
    assert '"job"' in meaning
    assert JOB_IS in meaning
