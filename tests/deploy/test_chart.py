"""The chart carries every service, asks for no password in its values, and names what the settings read."""

import importlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from laundry.backup import system as backup_system
from laundry.deploy import chart, check, installing, tools
from laundry.deploy.objects import parsed
from laundry_catalogue import SERVICES, Need, database_owners, url_variable
from laundry_servers.errors import LaundryError
from laundry_service.auth.issuer import TrustedIssuer
from tests.deploy.test_compose import IN_THE_IMAGE, settings_of
from tests.stack.queries import selectors

VALUES: dict[str, Any] = yaml.safe_load((chart.CHART / "values.yaml").read_text())
EXAMPLE: dict[str, Any] = yaml.safe_load((chart.CHART / "ci" / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((chart.CHART / "values.schema.json").read_text())
OTHERWISE = "metrics.podMonitor.enabled=false,metrics.scrapedOtherwise=true,alerts.inhibitions=false"
SCRAPED_OTHERWISE = ("--set", OTHERWISE)
TEMPLATES = {file.name: file.read_text() for file in (chart.CHART / "templates").iterdir()}


FACTS: dict[str, dict[str, Any]] = yaml.safe_load(chart.SERVICES_FILE.read_text())


def test_every_process_of_the_catalogue_is_in_the_chart() -> None:
    names = {process.name for service in SERVICES for process in service.processes}
    assert FACTS.keys() == VALUES["services"].keys() == names
    assert VALUES["services"]["ai-consumer"]["replicas"] == 3


def test_the_templates_ask_for_all_that_the_catalogue_says_and_for_nothing_else() -> None:
    asked = {fact for text in TEMPLATES.values() for fact in re.findall(r"\$facts\.(\w+)", text)}
    said = {fact for facts in FACTS.values() for fact in facts}
    # Said of no service today.
    assert asked == said | {"environment"}
    assert {str(need) for need in Need} <= said


def test_templates_set_what_the_settings_ask_for() -> None:
    fields: dict[str, bool] = {}
    for service in SERVICES:
        for name, field in settings_of(service).model_fields.items():
            variable = f"LAUNDRY_{name.upper()}"
            fields[variable] = fields.get(variable, False) or field.is_required()
    templates = ("services.yaml", "_environment.tpl", "_addresses.tpl", "_training.tpl")
    text = "".join(TEMPLATES[name] for name in templates)
    named = set(re.findall(r"\bLAUNDRY_[A-Z0-9_]+\b", text))
    named |= {url_variable(peer) for facts in FACTS.values() for peer in facts.get("peers", ())}
    # The tables' owner is a migration's.
    named -= {"LAUNDRY_", "LAUNDRY_DATABASE_OWNER_URL"}
    assert named <= fields.keys(), "variables that no service reads"
    assert {name for name, required in fields.items() if required} <= named | IN_THE_IMAGE


def rendered(*arguments: str) -> list[dict[str, Any]]:
    """What the chart makes of its example values and further arguments."""
    done = helm_template(*arguments)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def refusal(*arguments: str) -> str:
    """Why the chart renders nothing."""
    done = helm_template(*arguments)
    assert done.returncode != 0
    return str(done.stderr)


def helm_template(*arguments: str) -> Any:
    return helm_with("values", *arguments)


@cache
def helm_with(example: str, *arguments: str, release: str = "laundry") -> Any:
    """Render the values of one of the examples."""
    helm = tools.helm(fetch=False)
    if helm is None:
        pytest.skip("helm is not installed; `laundry check-deploy --fetch` puts it into the cache folder")
    values = str(chart.CHART / "ci" / f"{example}.yaml")
    return helm.run(
        ["template", release, str(chart.CHART), "--namespace", "laundry", "--values", values, *arguments]
    )


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    [found] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def test_a_pod_gets_what_its_settings_ask_for() -> None:
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]
        for each in rendered()
        if each["kind"] == "Deployment"
    }
    for service in SERVICES:
        fields = settings_of(service).model_fields
        required = {f"LAUNDRY_{name.upper()}" for name, field in fields.items() if field.is_required()}
        for process in service.processes:
            container = pods.pop(f"laundry-{process.name}")
            given = {variable["name"] for variable in container["env"]}
            given = {name for name in given if name.startswith("LAUNDRY_")}
            assert given <= {f"LAUNDRY_{name.upper()}" for name in fields}, "variables that it does not read"
            assert required <= given | IN_THE_IMAGE
            assert container["resources"]["limits"]["memory"] == process.resources.memory_limit
    assert not pods


def test_the_same_values_render_the_same_and_a_new_plan_is_a_new_job() -> None:
    def job(*arguments: str) -> str:
        [name] = [
            each["metadata"]["name"]
            for each in rendered(*arguments)
            if each["kind"] == "Job" and "topology" in each["metadata"]["name"]
        ]
        return str(name)

    assert rendered() == rendered("--is-upgrade")
    assert len({job(), job("--set", "topology.runAgain=today"), job("--set", "image.tag=0.2.0")}) == 3


def test_what_is_left_out_of_the_values_is_asked_for_in_a_sentence() -> None:
    nobody = ("--set", "networkPolicy.ingressNamespaceLabels=null")
    assert "the labels of your ingress controller's or gateway's namespace" in refusal(*nobody)
    assert "metrics.scrapedOtherwise=true" in refusal("--set", "metrics.podMonitor.enabled=false")
    rendered(*SCRAPED_OTHERWISE)


def test_prometheus_finds_every_process_and_alerts_lead_to_their_runbook() -> None:
    objects = rendered()
    monitor = named(objects, "PodMonitor", "laundry-services")
    for deployment in (each for each in objects if each["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {each["port"] for each in monitor["spec"]["podMetricsEndpoints"]} <= ports
    rules = named(objects, "PrometheusRule", "laundry-alerts")
    for monitored in (monitor, named(objects, "PodMonitor", "laundry-rabbitmq"), rules):
        assert monitored["metadata"]["labels"]["release"] == "prometheus"
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["runbook_url"].startswith(
                "https://git.example/laundry/blob/main/docs/"
            )


def test_alerts_look_at_their_own_release_and_at_no_other_that_is_scraped_too() -> None:
    def rules(*arguments: str) -> dict[str, dict[str, Any]]:
        groups = named(rendered(*arguments), "PrometheusRule", "laundry-alerts")["spec"]["groups"]
        return {rule["alert"]: rule for group in groups for rule in group["rules"]}

    otherwise = rules(*SCRAPED_OTHERWISE)
    for name, rule in rules().items():
        asked = selectors(rule["expr"])
        assert asked or name == "LaundryWatchdog"
        assert all('namespace="laundry"' in each for each in asked), rule["expr"]
        assert rule["labels"]["namespace"] == "laundry"
        # Nobody knows how another way of scraping calls it; the rest is the same.
        plain = re.sub(r'namespace="laundry",?', "", rule["expr"]).replace("{}", "")
        assert plain == otherwise[name]["expr"]
        assert "namespace" not in otherwise[name]["labels"]


def test_the_operator_is_given_the_inhibitions_that_a_real_alertmanager_was_shown() -> None:
    made = named(rendered(), "AlertmanagerConfig", "laundry-inhibitions")["spec"]["inhibitRules"]
    written = yaml.safe_load((chart.CHART / "files" / "inhibitions.yaml").read_text())["inhibit_rules"]

    def said(matchers: list[dict[str, str]]) -> list[str]:
        return [f'{each["name"]}{each["matchType"]}"{each["value"]}"' for each in matchers]

    assert [(said(each["sourceMatch"]), said(each["targetMatch"])) for each in made] == [
        (each["source_matchers"], each["target_matchers"]) for each in written
    ]
    # The namespace is the operator's part.
    assert [["namespace", *each["equal"]] for each in made] == [each["equal"] for each in written]


def test_uninstalling_keeps_the_broker_and_its_policy_lets_in_whom_it_needs() -> None:
    objects = rendered()
    broker = named(objects, "RabbitmqCluster", "laundry-rabbitmq")
    assert broker["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    policy = named(objects, "NetworkPolicy", "laundry-rabbitmq")["spec"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "rabbitmq"
    doors = {entry["port"] for rule in policy["ingress"] for entry in rule["ports"]}
    assert doors == {5671, 5672, 15671, 4369, 25672, 6000, 35672, 1883, 8883, 15691}


def test_traces_go_to_the_collector_that_is_named_and_nowhere_else() -> None:
    def reaches_4318(*arguments: str) -> set[bool]:
        return {
            any(port.get("port") == 4318 for rule in each["spec"]["egress"] for port in rule["ports"])
            for each in rendered(*arguments)
            if each["kind"] == "NetworkPolicy" and each["metadata"]["name"].removeprefix("laundry-") in FACTS
        }

    assert reaches_4318() == {True}
    assert reaches_4318("--set", "tracing.endpoint=") == {False}


def test_another_identity_provider_takes_the_place_of_the_chart_s_own() -> None:
    helm = tools.helm(fetch=False)
    if helm is None:
        pytest.skip("helm is not installed; `laundry check-deploy --fetch` puts it into the cache folder")
    made: dict[str, str] = {}
    for name in ("values", "other-provider-values"):
        file = chart.CHART / "ci" / f"{name}.yaml"
        jsonschema.validate(yaml.safe_load(file.read_text()), SCHEMA)
        done = helm.run(["template", "laundry", str(chart.CHART), "--values", str(file)])
        assert done.returncode == 0, done.stderr
        made[name] = done.stdout
    own, other = (
        {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text) if each}
        for text in made.values()
    )
    gone = {name for name in own.keys() - other.keys() if "identity" in name[1]}
    assert {kind for kind, _ in gone} >= {"Deployment", "Service", "NetworkPolicy"}
    assert not [name for name in other if "identity" in name[1]]
    migrated, left = (
        {
            each["name"]
            for each in objects["Job", "laundry-migrations"]["spec"]["template"]["spec"]["containers"]
        }
        for objects in (own, other)
    )
    assert migrated - left == {"identity"}
    for objects, issuer, hosts in (
        (own, "https://sign-in.example", ["laundry.example", "sign-in.example"]),
        (other, "https://identity.example", ["laundry.example"]),
    ):
        container = objects["Deployment", "laundry-helper"]["spec"]["template"]["spec"]["containers"][0]
        given = {each["name"]: each.get("value") for each in container["env"]}
        assert given["LAUNDRY_JWT_ISSUER"] == issuer
        rules = objects["Ingress", "laundry-web"]["spec"]["rules"]
        assert [rule["host"] for rule in rules] == hosts
    (kakao,) = json.loads(
        next(
            each["value"]
            for each in own["Deployment", "laundry-helper"]["spec"]["template"]["spec"]["containers"][0][
                "env"
            ]
            if each["name"] == "LAUNDRY_TRUSTED_ISSUERS"
        )
    )
    assert TrustedIssuer.model_validate(kakao).forced_role == "customer"


@pytest.mark.parametrize("values", [VALUES, EXAMPLE], ids=["defaults", "example"])
def test_values_fit_their_schema(values: dict[str, Any]) -> None:
    jsonschema.validate(values, SCHEMA)


def test_the_schema_refuses_what_would_be_overlooked() -> None:
    wrongs: list[dict[str, Any]] = [
        {"servces": {}},
        {"image": {"tag": 1}},
        {"rabbitmq": {"replicas": 2}},
        {"password": "x"},
        {"models": {"publicKeys": ["too short"]}},
        {"models": {"signingKey": "x"}},
    ]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


def test_no_values_and_no_template_hold_a_secret() -> None:
    for name, text in TEMPLATES.items():
        assert "kind: Secret" not in text, f"{name} makes a Secret"
        assert not re.search(
            r"(?i)(password|secret|key):\s+[\"']?[A-Za-z0-9]{8,}[\"']?\s*$", text, re.MULTILINE
        ), name

    def leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
        if isinstance(node, dict):
            return [leaf for key, value in node.items() for leaf in leaves(value, f"{path}.{key}")]
        return [(path, node)]

    suspicious = [path for path, _ in leaves(VALUES) if re.search(r"(?i)password|token|apikey", path)]
    # Names of what is a secret elsewhere.
    assert suspicious == [".identity.idTokens", ".topology.passwordsSecret", ".tests.tokenSecret"]


def test_the_chart_carries_the_plan_without_users() -> None:
    text = chart.DEFINITIONS_FILE.read_text()
    assert text == chart.definitions_text(), "run: make contracts"
    assert not {"users", "permissions", "topic_permissions"} & json.loads(text).keys()


def test_the_dockerfile_is_in_order() -> None:
    check.check_dockerfile()


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        ("USER 10001:10001", "USER root", "USER"),
        ("/livez", "/", "HEALTHCHECK"),
        ("python:3.13-slim", "python:latest", "latest"),
        ("WORKDIR /tmp", "ADD https://files.example/x /tmp/x", "address"),
    ],
)
def test_a_dockerfile_out_of_order_is_found(tmp_path: Path, good: str, bad: str, complaint: str) -> None:
    text = check.DOCKERFILE.read_text()
    assert good in text
    file = tmp_path / "Dockerfile"
    file.write_text(text.replace(good, bad))
    with pytest.raises(LaundryError, match=complaint):
        check.check_dockerfile(file)


def test_a_kind_that_kubernetes_dropped_is_a_failure() -> None:
    warning = "WARN x.yaml Couldn't find schema for kind PodSecurityPolicy with api version v1"
    assert [check._is_complaint(line) for line in ("INFO x.yaml passed", "", warning)] == [False, False, True]


def test_every_service_has_its_migrations_in_its_package() -> None:
    for package in database_owners().values():
        folder = Path(str(importlib.import_module(package).__file__)).parent
        # Alembic's, or Django's of one of its apps.
        found = [*folder.glob("migrations/versions/*.py"), *folder.glob("*/migrations/0*.py")]
        assert found, f"{package} has no migration"


def test_a_backup_has_every_database_and_a_place_that_outlives_it() -> None:
    assert "backup.claim" in refusal("--set", "backup.at=")
    job = named(rendered(), "CronJob", "laundry-backup")
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][:5] == ["laundry", "backup", "create", "--at", "s3://elsewhere/laundry"]
    environment = {each["name"]: each.get("value", "secret") for each in container["env"]}
    system = backup_system.of_environment(
        environment | {"LAUNDRY_MANAGEMENT_URL": "http://kim:x@broker:15672"}
    )
    assert system is not None
    assert system.databases.keys() == database_owners().keys()
    # With another identity provider there is no such database.
    off = ("--set", "identity.enabled=false", "--set", "identity.jwksUrl=https://idp.example/jwks")
    job = named(rendered(*off, "--set", "identity.issuer=https://idp.example"), "CronJob", "laundry-backup")
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert {"name": "LAUNDRY_DATABASE_URL_IDENTITY", "value": ""} in container["env"]
    mounted = named(rendered("--set", "backup.claim=backups"), "CronJob", "laundry-backup")
    [container] = mounted["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert "/backups" in container["command"]


def test_the_table_of_ports_has_every_port_of_the_network_policy() -> None:
    in_table = {int(port) for row in installing.ports() for port in re.findall(r"\b\d{2,5}\b", row[2])}
    policies = [each for each in rendered() if each["kind"] == "NetworkPolicy"]
    rules = [
        rule
        for policy in policies
        for rule in (*policy["spec"].get("egress", []), *policy["spec"].get("ingress", []))
    ]
    opened = {
        number
        for rule in rules
        for port in rule.get("ports", [])
        for number in (port["port"], port.get("endPort", port["port"]))
    }
    assert opened, "the policy is on"
    assert opened <= in_table
