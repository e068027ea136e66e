"""A new service is its folder, the catalogue and the topology: everything else follows, and it works."""

from typing import Any

import pytest
import yaml

from laundry.deploy import tools
from laundry_servers.addresses import BrokerAddress, DatabaseAddress, ObjectStoreAddress
from tests.catalogue.checkout import ROOT, Checkout
from tests.catalogue.conftest import NAME

pytestmark = pytest.mark.timeout(400)

BY_HAND = {
    "libs/catalogue/src/laundry_catalogue/services.py",
    "libs/events/src/laundry_events/topology.py",
}
MADE = {
    "README.md",
    "deploy/helm/laundry/README.md",
    "deploy/helm/laundry/files/definitions.json",
    "deploy/helm/laundry/files/services.yaml",
    "deploy/helm/laundry/values.schema.json",
    "deploy/helm/laundry/values.yaml",
    "docker-compose.yml",
    "docs/api/events.asyncapi.json",
    f"docs/api/{NAME}.openapi.json",
}
"""What ``make contracts`` writes."""


def test_nothing_else_is_touched(with_service: Checkout) -> None:
    changed = with_service.changed_from(ROOT)
    assert {name for name in changed if not name.startswith(f"services/{NAME}/")} == BY_HAND | MADE
    for name in BY_HAND:
        before, after = ((root / name).read_text().splitlines() for root in (ROOT, with_service.root))
        lines = iter(after)
        assert all(line in lines for line in before), f"{name}: a line was changed or moved"


def test_it_passes_lint_and_types(with_service: Checkout) -> None:
    sources = [f"services/{NAME}", *sorted(BY_HAND)]
    with_service.run("ruff", "format", "--check", *sources)
    with_service.run("ruff", "check", *sources)
    with_service.run("mypy", f"services/{NAME}/src", "libs/catalogue/src", timeout_s=300)


def test_compose_starts_it_and_the_pages_reach_it(with_service: Checkout) -> None:
    document = yaml.safe_load((with_service.root / "docker-compose.yml").read_text())
    containers: dict[str, Any] = document["services"]
    own = containers[NAME]
    assert own["build"]["args"] == {"SERVICE": NAME, "PACKAGE": "worn_machines"}
    assert own["depends_on"][f"migrate-{NAME}"] == {"condition": "service_completed_successfully"}
    assert own["environment"]["LAUNDRY_AMQP_URL"].startswith(
        f"amqp://{NAME}:${{BROKER_PASSWORD_WORN_MACHINES"
    )
    assert NAME in containers["prepare"]["environment"]["LAUNDRY_DATABASE_PASSWORDS"]
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
    assert ("Job", f"laundry-{NAME}-migration") in objects
    container = objects["Deployment", f"laundry-{NAME}"]["spec"]["template"]["spec"]["containers"][0]
    secrets = {each["name"] for each in container["env"] if "valueFrom" in each}
    assert secrets == {"LAUNDRY_AMQP_URL", "LAUNDRY_DATABASE_URL", "LAUNDRY_LETTER_KEY"}


@pytest.mark.servers
def test_its_own_tests_pass(
    with_service: Checkout,
    rabbitmq: BrokerAddress,
    postgres: DatabaseAddress,
    object_store: ObjectStoreAddress,
) -> None:
    given = {
        "LAUNDRY_TEST_SERVERS": "given",
        "LAUNDRY_AMQP_URL": rabbitmq.amqp_url,
        "LAUNDRY_MANAGEMENT_URL": rabbitmq.management_url,
        "LAUNDRY_POSTGRES_URL": postgres.url(),
        "LAUNDRY_S3_ENDPOINT_URL": object_store.endpoint_url,
        "LAUNDRY_S3_ACCESS_KEY": object_store.access_key,
        "LAUNDRY_S3_SECRET_KEY": object_store.secret_key,
    }
    done = with_service.run("pytest", "-n0", "-q", f"services/{NAME}", environment=given, timeout_s=200)
    assert " passed" in done.stdout and "skipped" not in done.stdout
