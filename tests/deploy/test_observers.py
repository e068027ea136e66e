"""What shows an operator the system: Compose's profile observe, and the dashboards as Grafana reads them."""

import json
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from laundry.deploy import grafana, memory, prometheus
from laundry.deploy.broker import COMPOSE_NODES
from laundry.deploy.dashboards import DASHBOARDS, FOLDER
from laundry.deploy.dashboards.panels import Dashboard
from laundry.paths import PROJECT
from laundry_catalogue import SERVICES
from tests.deploy.test_chart import named, rendered
from tests.stack.queries import selectors

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
OBSERVERS = {"alertmanager", "collector", "grafana", "jaeger", "prometheus"}
QUESTIONS = ["Is it working?", "Where is it stuck?", "Since when?", "Whose fault?"]


def config(name: str) -> Any:
    return yaml.safe_load((PROJECT / COMPOSE["configs"][name]["file"]).read_text())


def test_nothing_of_it_starts_unless_its_profile_is_named() -> None:
    assert {name for name, each in CONTAINERS.items() if each.get("profiles") == ["observe"]} == OBSERVERS
    others = (each for name, each in CONTAINERS.items() if name not in OBSERVERS)
    assert not any(OBSERVERS & {*each.get("depends_on", {})} for each in others)


def test_every_process_is_scraped_under_its_name_and_the_broker_too() -> None:
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in config("prometheus")["scrape_configs"]}
    processes = {process.name for service in SERVICES for process in service.processes}
    assert jobs.keys() == processes | {"rabbitmq"}
    assert processes | {"rabbitmq"} <= CONTAINERS.keys()
    # Each by its own name; the broker by those of every node that there may be.
    names = {name: [*COMPOSE_NODES] if name == "rabbitmq" else [name] for name in jobs}
    assert {name: each["names"] for name, each in jobs.items()} == names
    (rules,) = config("prometheus")["rule_files"]
    assert {"source": "alerts", "target": rules} in CONTAINERS["prometheus"]["configs"]


@pytest.mark.parametrize("name", ["collector", "jaeger"])
def test_a_pipeline_is_made_of_parts_that_are_configured(name: str) -> None:
    found = config(name)
    for pipeline in found["service"]["pipelines"].values():
        for kind, parts in pipeline.items():
            assert {*parts} <= found[kind].keys()
    assert {*found["service"].get("extensions", [])} == found.get("extensions", {}).keys()


def test_grafana_s_plugins_are_in_a_folder_that_is_there() -> None:
    """Its image makes theirs, and not the one around it; an empty /tmp has none."""
    container = CONTAINERS["grafana"]
    plugins = PurePosixPath(container["environment"]["GF_PATHS_PLUGINS"])
    assert str(plugins.parent) in container["tmpfs"]


def test_the_traces_that_are_kept_have_room() -> None:
    # A photo's has some 40 spans, and none takes more than 2 KB.
    kept = config("jaeger")["extensions"]["jaeger_storage"]["backends"]["memory"]["memory"]["max_traces"]
    assert kept * 40 * 2000 < memory.mebibytes(CONTAINERS["jaeger"]) * 1024 * 1024
    assert f"Jaeger keeps {kept:,} traces in memory" in (PROJECT / "deploy" / "README.md").read_text()


def test_spans_go_from_the_services_through_the_collector_to_jaeger() -> None:
    taken = config("collector")["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert taken.endswith(":4318")
    assert config("collector")["exporters"]["otlp"]["endpoint"] == "jaeger:4317"
    assert config("jaeger")["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(":4317")
    for service in SERVICES:
        for process in service.processes:
            assert CONTAINERS[process.name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].endswith(":-}")


def test_grafana_finds_the_dashboards_and_what_they_ask() -> None:
    (provider,) = config("grafana-dashboards")["providers"]
    folder = FOLDER.relative_to(PROJECT)
    assert CONTAINERS["grafana"]["volumes"] == [f"./{folder}:{provider['options']['path']}:ro"]
    sources = {each["type"]: each["url"] for each in config("grafana-sources")["datasources"]}
    assert {url.split("/")[2].split(":")[0] for url in sources.values()} <= OBSERVERS


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.uid)
def test_a_dashboard_is_whole(dashboard: Dashboard) -> None:
    page = json.loads(grafana.text_of(dashboard))
    panels = [each for each in page["panels"] if each["type"] != "row"]
    ids = [each["id"] for each in page["panels"]]
    assert len(ids) == len({*ids})
    assert [each["expr"] for panel in panels for each in panel["targets"]] == [
        grafana.in_namespace(query.expr) for _, query in dashboard.queries
    ]
    assert all(each["description"] and each["title"] for each in panels)
    for _, query in dashboard.queries:
        asked = selectors(grafana.in_namespace(query.expr))
        assert asked
        assert all('namespace=~"$namespace"' in each or each.startswith("rabbitmq_") for each in asked)


def test_the_first_dashboard_answers_in_order() -> None:
    page = json.loads(grafana.text_of(DASHBOARDS[0]))
    assert [each["title"] for each in page["panels"] if each["type"] == "row"] == QUESTIONS


def test_what_is_committed_is_what_the_code_makes() -> None:
    for path, text in [*grafana.files(), *prometheus.files()]:
        assert path.read_text() == text, f"{path}: run make contracts"


def test_the_chart_installs_the_dashboards_where_grafanas_sidecar_looks() -> None:
    objects = rendered("--set", "dashboards.labels.grafana_dashboard=yes")
    for dashboard in DASHBOARDS:
        name = f"laundry-dashboard-{dashboard.uid.removeprefix('laundry-')}"
        found = named(objects, "ConfigMap", name)
        assert found["metadata"]["labels"]["grafana_dashboard"] == "yes"
        assert found["metadata"]["annotations"] == {"grafana_folder": "Laundry"}
        shown = {
            each["name"]: each.get("query") for each in variables(found["data"][f"{dashboard.uid}.json"])
        }
        assert shown["namespace"] == "laundry"
        made = {each["name"]: each.get("query") for each in variables(grafana.text_of(dashboard))}
        assert made["namespace"] == ".*"


def variables(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["templating"]["list"]
    return found


@pytest.mark.parametrize("traced", [True, False])
def test_a_configmap_of_the_operator_switches_details_in_every_pod(traced: bool) -> None:
    objects = rendered() if traced else rendered("--set", "tracing.endpoint=")
    for service in SERVICES:
        for process in service.processes:
            pod = named(objects, "Deployment", f"laundry-{process.name}")["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            given = {each["name"]: each.get("value") for each in container["env"]}
            volumes = {each["name"]: each for each in pod["volumes"]}
            assert given.get("LAUNDRY_TELEMETRY_FOLDER") == ("/run/telemetry" if traced else None)
            assert ("telemetry" in volumes) is traced
            if traced:
                # Pods start without it, and nobody's helm upgrade takes it back.
                assert volumes["telemetry"]["configMap"] == {"name": "laundry-telemetry", "optional": True}
