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
from laundry.paths import PROJECT
from laundry_servers.ports import free_port

INHIBITIONS: dict[str, Any] = yaml.safe_load((chart.CHART / "files" / "inhibitions.yaml").read_text())
RULES = yaml.safe_load((chart.CHART / "files" / "alerts.yaml").read_text())["groups"]
ALERTS = {rule["alert"] for group in RULES for rule in group["rules"]}
PROGRAMS = ("prometheus-alertmanager", "alertmanager")
Labels = dict[str, str]
APART: list[tuple[str, Labels, dict[str, Labels]]] = [
    # Mozilla's push service is away, and FCM refuses our key: no owner's phone rings.
    (
        "LaundryConsumingPaused",
        {"dependency": "updates.push.services.mozilla.com"},
        {
            "LaundryFaultsWait": {},
            "LaundryFaultPushLate": {},
            "LaundryMessagesWaitLong": {"queue": "equipment.fault"},
            "LaundryQueueBacklog": {"queue": "task.submitted"},
        },
    ),
    (
        "LaundryConsumingPaused",
        {"dependency": "s3"},
        {"LaundryFaultsWait": {}, "LaundryFaultPushBudgetBurns": {}},
    ),
    # Eleven of a device, and one of a person who is to be forgotten.
    ("LaundryManyDeadLetters", {}, {"LaundryDeadLetters": {"queue": "person.erased"}}),
    (
        "LaundryQueueHasNoConsumer",
        {"queue": "task.confirmed"},
        {"LaundryMessagesWaitLong": {"queue": "task.submitted"}},
    ),
    ("LaundryProcessDown", {"job": "web"}, {"LaundryQueuesUnseen": {}}),
    (
        "LaundryCertificateEndsSoon",
        {"endpoint": "client helper"},
        {"LaundryCertificateEnds": {"endpoint": "broker:5671"}},
    ),
    ("LaundryIdentityKeysStale", {"job": "helper"}, {"LaundryDenyListStale": {"job": "search"}}),
]
"""An alert, its labels, and others that ring for something else at the same time."""


def matched(matchers: list[str]) -> dict[str, list[str]]:
    """What a label may be, by its name."""
    found = (re.fullmatch(r'(\w+)=~?"(.+)"', each) for each in matchers)
    return {each[1]: each[2].split("|") for each in found if each}


def names_of(matchers: list[str]) -> set[str]:
    return {*matched(matchers)["alertname"]}


def test_every_alert_that_is_named_exists() -> None:
    for rule in INHIBITIONS["inhibit_rules"]:
        assert names_of(rule["source_matchers"]) | names_of(rule["target_matchers"]) <= ALERTS


def test_messages_are_held_for_these_servers_and_for_no_other() -> None:
    files = [*PROJECT.glob("libs/*/src/**/*.py"), *PROJECT.glob("services/*/src/**/*.py")]
    known = {name for file in files for name in re.findall(r'\bDependency\(\s*"(\w+)"', file.read_text())}
    sources = [matched(rule["source_matchers"]) for rule in INHIBITIONS["inhibit_rules"]]
    assert [{*each["dependency"]} for each in sources if "dependency" in each] == [known]


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
    labels |= {name: values[0] for name, values in matched(rule["source_matchers"]).items()}
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


@pytest.mark.parametrize(("name", "cause", "others"), APART)
def test_no_rule_joins_what_does_not_follow(name: str, cause: Labels, others: dict[str, Labels]) -> None:
    for rule in INHIBITIONS["inhibit_rules"]:
        source, target = (matched(rule[f"{side}_matchers"]) for side in ("source", "target"))
        for other, labels in others.items():
            about = {**cause, "alertname": name}, {**labels, "alertname": other}
            joined = all(about[0].get(label) == about[1].get(label) for label in rule["equal"])
            assert not (joined and fits(source, about[0]) and fits(target, about[1])), rule


def fits(matchers: dict[str, list[str]], labels: Labels) -> bool:
    return all(labels.get(name) in values for name, values in matchers.items())


@pytest.mark.servers
@pytest.mark.parametrize(("name", "cause", "others"), APART)
def test_what_does_not_follow_from_an_alert_is_not_silenced_by_it(
    alertmanager: httpx.Client, name: str, cause: Labels, others: dict[str, Labels]
) -> None:
    apart = " ".join([name, *cause.values(), "beside", *others])

    def say(alerts: dict[str, Labels], namespace: str = "laundry") -> None:
        common = {"namespace": namespace, "test": apart}
        told = [{"labels": {**common, **labels, "alertname": alert}} for alert, labels in alerts.items()]
        alertmanager.post("/api/v2/alerts", json=told).raise_for_status()

    say({name: cause})
    # Alerts are taken in turn: where this one is silenced, what the first silences would be, too.
    say({"LaundryBrokerBlocked": {}, "LaundryOutboxStands": {}}, "elsewhere")
    until(lambda: inhibited(alertmanager, apart).get("LaundryOutboxStands"))
    say(others)
    until(lambda: others.keys() <= inhibited(alertmanager, apart).keys())
    silenced = {alert for alert, waits in inhibited(alertmanager, apart).items() if waits}
    assert silenced == {"LaundryOutboxStands"}


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
