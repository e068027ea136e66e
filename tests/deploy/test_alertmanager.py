"""A real Alertmanager lets a root cause ring and its consequences wait."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from laundry.deploy import chart
from laundry_servers.ports import free_port

INHIBITIONS: dict[str, Any] = yaml.safe_load((chart.CHART / "files" / "inhibitions.yaml").read_text())
RULES = yaml.safe_load((chart.CHART / "files" / "alerts.yaml").read_text())["groups"]
ALERTS = {rule["alert"] for group in RULES for rule in group["rules"]}
PROGRAMS = ("prometheus-alertmanager", "alertmanager")


def names_of(matchers: list[str]) -> set[str]:
    return {
        name
        for matcher in matchers
        for name in re.fullmatch(r'alertname=~?"(.+)"', matcher)[1].split("|")  # type: ignore[index]
    }


def test_every_alert_that_is_named_exists() -> None:
    for rule in INHIBITIONS["inhibit_rules"]:
        assert names_of(rule["source_matchers"]) | names_of(rule["target_matchers"]) <= ALERTS


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("Alertmanager is not installed (Debian: apt-get install prometheus-alertmanager)")
    folder = tmp_path_factory.mktemp("alertmanager")
    # So that the alerts of one test do not silence another's.
    apart = [{**rule, "equal": [*rule.get("equal", []), "test"]} for rule in INHIBITIONS["inhibit_rules"]]
    config = {
        "route": {"receiver": "nobody"},
        "receivers": [{"name": "nobody"}],
        "inhibit_rules": apart,
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder / 'config.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=10) as client:
            until(lambda: client.get("/-/ready").is_success, process)
            yield client
    finally:
        process.terminate()
        process.wait(10)


def until(condition: Any, process: Any = None) -> None:
    ends_at = time.monotonic() + 30
    while True:
        try:
            if condition():
                return
        except httpx.HTTPError:
            assert process is None or process.poll() is None, "it does not start"
        assert time.monotonic() < ends_at, "it takes too long"
        time.sleep(0.05)


def inhibited(client: httpx.Client, branch: str) -> dict[str, bool]:
    found = client.get("/api/v2/alerts", params={"filter": f'test="{branch}"'}).json()
    return {each["labels"]["alertname"]: bool(each["status"]["inhibitedBy"]) for each in found}


@pytest.mark.servers
@pytest.mark.parametrize("rule", INHIBITIONS["inhibit_rules"], ids=lambda rule: rule["source_matchers"][0])
def test_a_root_cause_silences_its_consequences_and_nothing_else(
    alertmanager: httpx.Client, rule: dict[str, Any]
) -> None:
    [cause] = names_of(rule["source_matchers"])
    consequences = names_of(rule["target_matchers"])
    labels = {"test": cause, "queue": "task.read", "job": "helper"}
    others = consequences | {"LaundryModelRefused"}

    def say(*names: str, **more: str) -> None:
        alerts = [{"labels": {**labels, "alertname": name}, **more} for name in names]
        alertmanager.post("/api/v2/alerts", json=alerts).raise_for_status()

    say(*others)
    until(lambda: inhibited(alertmanager, cause) == expected(others))
    say(cause)
    until(lambda: inhibited(alertmanager, cause) == expected({*others, cause}))
    assert all(expected({*others, cause})[name] for name in consequences)
    say(cause, endsAt="2020-01-01T00:00:00Z")
    until(lambda: inhibited(alertmanager, cause) == expected(others))


@pytest.mark.servers
def test_a_release_in_another_namespace_silences_nothing(alertmanager: httpx.Client) -> None:
    def say(name: str, namespace: str) -> None:
        labels = {"test": "namespaces", "alertname": name, "namespace": namespace}
        alertmanager.post("/api/v2/alerts", json=[{"labels": labels}]).raise_for_status()

    cause, consequence = "LaundryBrokerBlocked", "LaundryOutboxStands"
    say(cause, "staging")
    say(consequence, "production")
    until(lambda: inhibited(alertmanager, "namespaces") == {cause: False, consequence: False})
    say(cause, "production")
    until(lambda: inhibited(alertmanager, "namespaces")[consequence])


def expected(ringing: set[str]) -> dict[str, bool]:
    """Which alerts wait while these ring; one that waits silences others all the same."""
    return {
        name: any(
            name in names_of(rule["target_matchers"])
            and names_of(rule["source_matchers"]) & (ringing - {name})
            for rule in INHIBITIONS["inhibit_rules"]
        )
        for name in ringing
    }
