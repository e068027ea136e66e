"""What the guides say is all there is to do: a new service and a new event are made in a copy, and work."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from laundry.deploy import tools
from laundry_events.definitions import definitions
from laundry_events.topology import PLAN
from laundry_testing.messaging import eventually
from tests.catalogue import guides
from tests.catalogue.checkout import ROOT, Checkout

pytestmark = pytest.mark.timeout(400)

NAME = "worn-machines"
GUIDES = ROOT / "docs" / "how-to"
BY_HAND = {
    "libs/catalogue/src/laundry_catalogue/services.py",
    "libs/events/src/laundry_events/topology.py",
}
MADE = {
    "README.md",
    "deploy/README.md",
    "deploy/compose/prometheus.yml",
    "deploy/docker/bake.json",
    "deploy/helm/laundry/README.md",
    "deploy/helm/laundry/files/definitions.json",
    "deploy/helm/laundry/files/services.yaml",
    "deploy/helm/laundry/values.schema.json",
    "deploy/helm/laundry/values.yaml",
    "docker-compose.yml",
    "docs/api/events.asyncapi.json",
    "docs/operations/installing.md",
    f"docs/api/{NAME}.openapi.json",
    "services/web/README.md",
}
"""What ``make contracts`` writes."""
SCHEMA = "libs/events/src/laundry_events/schemas/EquipmentRetired.v1.json"
"""What ``make contracts`` writes, besides what a new service had it write."""
PRODUCER, CONSUMER = "services/monitoring/", f"services/{NAME}/"
SAMPLE = {
    "equipment_id": "washer-1",
    "branch_id": "b1",
    "kind": "washer",
    "recorded_at": "2026-05-01T12:00:00Z",
    "fault_code": "E21",
    "metrics": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every user may enter: PostgreSQL does not run as root."""
    folder = tmp_path_factory.mktemp("checkouts")
    for part in (folder, folder.parent):
        part.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def with_service(folder: Path) -> Checkout:
    """A copy with one service more."""
    checkout = Checkout.of(ROOT, folder / "with-service")
    checkout.run("laundry.cli", "new", "service", NAME)
    checkout.install()
    checkout.contracts()
    return checkout


@pytest.mark.parametrize("guide", sorted(GUIDES.glob("*.md")), ids=lambda path: path.stem)
def test_the_tests_and_files_that_a_guide_names_exist(guide: Path) -> None:
    text = guide.read_text()
    shown = {line.split()[1] for block in guides.BLOCK.findall(text) for line in block.splitlines()[:1]}
    named = set(re.findall(r"\b(?:services|libs|tests|tools)/[\w./-]+\w", text))
    missing = {name for name in named - shown if NAME not in name and not (ROOT / name).exists()}
    assert not missing


def test_a_service_touches_its_folder_the_catalogue_and_the_topology(with_service: Checkout) -> None:
    changed = with_service.changed_from(ROOT)
    assert {name for name in changed if not name.startswith(f"services/{NAME}/")} == BY_HAND | MADE
    for name in BY_HAND:
        before, after = ((root / name).read_text().splitlines() for root in (ROOT, with_service.root))
        lines = iter(after)
        assert all(line in lines for line in before), f"{name}: a line was changed or moved"


def test_the_service_passes_lint_and_types(with_service: Checkout) -> None:
    sources = [f"services/{NAME}", *sorted(BY_HAND)]
    with_service.run("ruff", "format", "--check", *sources)
    with_service.run("ruff", "check", *sources)
    checked = ("worn_machines", f"services.{NAME}.tests", "laundry_catalogue")
    with_service.run("mypy", *(part for name in checked for part in ("-p", name)), timeout_s=300)


def test_compose_starts_it_and_the_pages_reach_it(with_service: Checkout) -> None:
    document = yaml.safe_load((with_service.root / "docker-compose.yml").read_text())
    containers: dict[str, Any] = document["services"]
    own = containers[NAME]
    assert own["build"]["args"] == {"SERVICE": NAME, "PACKAGE": "worn_machines"}
    assert own["depends_on"][f"migrate-{NAME}"] == {"condition": "service_completed_successfully"}
    assert {"source": f"{NAME}-amqp-url", "target": "LAUNDRY_AMQP_URL"} in own["secrets"]
    assert f"{NAME}-database-url" in document["secrets"]
    assert containers["web"]["environment"]["LAUNDRY_WORN_MACHINES_URL"] == f"http://{NAME}:8000"


def test_the_chart_deploys_it(with_service: Checkout) -> None:
    chart = with_service.root / "deploy" / "helm" / "laundry"
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert values["services"][NAME]["replicas"] == 2
    facts = yaml.safe_load((chart / "files" / "services.yaml").read_text())[NAME]
    assert facts["migrates"] and facts["consumes"] and facts["callers"] == ["web"]
    helm = tools.helm(fetch=False)
    if helm is None:
        pytest.skip("helm is not installed: the templates were not rendered")
    done = helm.run(["template", "laundry", str(chart), "--values", str(chart / "ci" / "values.yaml")])
    assert done.returncode == 0, done.stderr
    rendered = [each for each in yaml.safe_load_all(done.stdout) if each]
    objects = {(each["kind"], each["metadata"]["name"]): each for each in rendered}
    for kind in ("Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"):
        assert (kind, f"laundry-{NAME}") in objects
    migrations = objects["Job", "laundry-migrations"]["spec"]["template"]["spec"]["containers"]
    assert NAME in {each["name"] for each in migrations}
    container = objects["Deployment", f"laundry-{NAME}"]["spec"]["template"]["spec"]["containers"][0]
    secrets = {each["name"] for each in container["env"] if "valueFrom" in each}
    of_every_service = {"OTEL_EXPORTER_OTLP_HEADERS"}
    assert secrets - of_every_service == {"LAUNDRY_AMQP_URL", "LAUNDRY_DATABASE_URL", "LAUNDRY_LETTER_KEY"}


@pytest.mark.servers
def test_the_service_passes_its_own_tests(with_service: Checkout, given_servers: dict[str, str]) -> None:
    given = {**given_servers, "LAUNDRY_TEST_SERVERS": "given"}
    done = with_service.run("pytest", "-n0", "-q", f"services/{NAME}", environment=given, timeout_s=200)
    assert " passed" in done.stdout and "skipped" not in done.stdout


def test_the_waits_of_one_queue_are_changed_and_no_other(tmp_path: Path) -> None:
    name = "libs/events/src/laundry_events/topology.py"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text((ROOT / name).read_text())
    assert guides.apply(GUIDES / "change-the-retries.md", tmp_path) == {name}
    changed = runpy.run_path(str(tmp_path / name))["PLAN"]
    waits = {queue.name: [delay_ms for _, delay_ms in queue.retries] for queue in changed.queues}
    before = {queue.name: [delay_ms for _, delay_ms in queue.retries] for queue in PLAN.queues}
    assert waits == before | {"preference.created": [5_000, 30_000, 300_000]}
    declared = {each["name"] for each in definitions(changed)["queues"]}
    assert "preference.created.retry.300s" in declared and "preference.created.retry.1s" not in declared


@pytest.fixture(scope="module")
def with_event(with_service: Checkout) -> Checkout:
    """A copy with one service and one event more."""
    checkout = Checkout.of(with_service.root, with_service.root.parent / "with-event")
    guides.apply(GUIDES / "add-an-event.md", checkout.root)
    checkout.run("laundry_events.schemas")
    return checkout


def test_an_event_touches_itself_the_topology_and_both_sides(
    with_service: Checkout, with_event: Checkout
) -> None:
    changed = with_event.changed_from(with_service.root) - {SCHEMA}
    both_sides = {name for name in changed if name.startswith((PRODUCER, CONSUMER))}
    assert changed - both_sides == {
        "libs/events/src/laundry_events/events.py",
        "libs/events/src/laundry_events/topology.py",
        "libs/events/tests/messages/EquipmentRetired.v1.json",
    }
    assert len([name for name in both_sides if name.startswith(PRODUCER)]) == 1


def test_the_event_passes_lint_types_and_the_promise(with_service: Checkout, with_event: Checkout) -> None:
    changed = with_event.changed_from(with_service.root)
    sources = sorted(name for name in changed if name.endswith(".py"))
    with_event.run("ruff", "format", "--check", *sources)
    with_event.run("ruff", "check", *sources)
    with_event.run("mypy", "libs/events/src", f"{PRODUCER}src", f"{CONSUMER}src", timeout_s=300)
    tests = ("libs/events/tests/test_schemas.py", "libs/catalogue/tests")
    with_event.run("pytest", "-n0", "-q", "-p", "no:randomly", *tests)


@pytest.mark.servers
async def test_a_running_stack_counts_a_fault_and_forgets_a_retired_machine(with_event: Checkout) -> None:
    async with with_event.stack("monitoring", NAME) as (services, people):
        washer, owner = people.person("device", "washer-1", "b1"), people.person("owner", "owner-1", "b1")
        operator = people.person("operator", "operator-1")
        at = f"/{NAME}?branch_id=b1"

        async def machines() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await services.json("GET", "worn_machines", at, who=owner))[
                "items"
            ]
            return items

        await services.call("POST", "monitoring", "/telemetry", who=washer, json={"samples": [SAMPLE]})
        (machine,) = await eventually(machines, what="the machine that failed")
        assert (machine["equipment_id"], machine["faults"]) == ("washer-1", 1)

        await services.call("DELETE", "monitoring", "/equipment/washer-1?branch_id=b1", who=operator)

        async def forgotten() -> bool:
            return await machines() == []

        await eventually(forgotten, what="the retired machine's end")
