"""What the chart asks of a live cluster: a stand-in for its API says which kinds it knows."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from laundry.deploy import chart, tools

KINDS = {
    "rabbitmq.com/v1beta1": "RabbitmqCluster",
    "monitoring.coreos.com/v1": "PodMonitor PrometheusRule",
    "monitoring.coreos.com/v1alpha1": "AlertmanagerConfig",
    "cert-manager.io/v1": "Certificate",
    "keda.sh/v1alpha1": "ScaledObject",
    "gateway.networking.k8s.io/v1": "HTTPRoute",
}
CORE = {
    "v1": "Secret ServiceAccount",
    "apps/v1": "Deployment",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "networking.k8s.io/v1": "NetworkPolicy",
}


class Cluster:
    """Answers what helm asks before it makes anything: versions, kinds, and single objects."""

    def __init__(self) -> None:
        self.kinds = {**CORE, **KINDS}
        self.objects: dict[str, dict[str, Any]] = {
            "/api/v1/namespaces/laundry/serviceaccounts/default": {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default"},
            }
        }
        self.changed: list[str] = []
        self.takes = False

    def answer(self, path: str) -> dict[str, Any] | None:
        path = path.partition("?")[0]
        if path == "/version":
            return {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*self._groups()]}
        if path.endswith("/secrets"):
            return {"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": []}
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if version in self.kinds:
            return {
                "kind": "APIResourceList",
                "groupVersion": version,
                "resources": [
                    {"name": plural(kind), "kind": kind, "namespaced": True, "verbs": ["get", "create"]}
                    for kind in self.kinds[version].split()
                ],
            }
        return self.objects.get(path)

    def _groups(self) -> Iterator[dict[str, Any]]:
        for version in self.kinds:
            if "/" in version:
                name, _, number = version.partition("/")
                served = {"groupVersion": version, "version": number}
                yield {"name": name, "versions": [served], "preferredVersion": served}


def plural(kind: str) -> str:
    """The kind in an address of the API."""
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


@pytest.fixture
def cluster() -> Iterator[tuple[Cluster, str]]:
    known = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = known.answer(self.path)
            body = json.dumps(found or {"kind": "Status", "code": 404, "reason": "NotFound"}).encode()
            self.say(200 if found else 404, body)

        def do_POST(self) -> None:
            known.changed.append(self.path)
            self.say(201 if known.takes else 500, self.rfile.read(int(self.headers["Content-Length"])))

        do_PUT = do_POST  # noqa: N815 - as http.server asks for it

        def say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield known, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def install(url: str, folder: Path, example: str, *arguments: str) -> str:
    """What `helm install` complains of."""
    values = str(chart.CHART / "ci" / f"{example}.yaml")
    done = helm_install(url, folder, chart.CHART, "--values", values, *arguments)
    assert done.returncode != 0
    return done.stderr


def helm_install(url: str, folder: Path, source: Path, *arguments: str) -> CompletedProcess[str]:
    helm = tools.helm(fetch=False)
    if helm is None:
        pytest.skip("helm is not installed; `laundry check-deploy --fetch` puts it into the cache folder")
    config = folder / "config"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "laundry"}}],
                "current-context": "c",
            }
        )
    )
    own = tools.Tool(helm.command, {"KUBECONFIG": str(config), "HELM_CACHE_HOME": str(folder)})
    return own.run(["install", "laundry", str(source), "--namespace", "laundry", *arguments])


@pytest.mark.parametrize(
    ("api", "example", "sentence"),
    [
        (
            "rabbitmq.com/v1beta1",
            "values",
            "the RabbitMQ Cluster Operator first, or set rabbitmq.enabled=false",
        ),
        ("monitoring.coreos.com/v1", "values", "install the Prometheus Operator first, or set"),
        (
            "monitoring.coreos.com/v1alpha1",
            "values",
            "Prometheus Operator first, or set alerts.inhibitions=false",
        ),
        ("cert-manager.io/v1", "values", "install cert-manager first, or set rabbitmq.tls.secret"),
        ("keda.sh/v1alpha1", "values", "install KEDA first, or set autoscaling.by to cpu"),
        (
            "gateway.networking.k8s.io/v1",
            "own-servers-values",
            "install the Gateway API and a gateway first, or set gateway.enabled=false",
        ),
    ],
)
def test_a_kind_that_the_cluster_does_not_know_is_told_with_the_value_to_switch_off(
    cluster: tuple[Cluster, str], tmp_path: Path, api: str, example: str, sentence: str
) -> None:
    known, url = cluster
    del known.kinds[api]
    told = install(url, tmp_path, example)
    assert "this cluster knows no " in told
    assert sentence in told
    assert not known.changed


@pytest.mark.parametrize(("now", "wanted"), [("", "true"), ("-proto_dist inet_tls", "false")])
def test_tls_between_nodes_that_are_there_is_not_changed_one_after_another(
    cluster: tuple[Cluster, str], tmp_path: Path, now: str, wanted: str
) -> None:
    known, url = cluster
    known.objects["/apis/rabbitmq.com/v1beta1/namespaces/laundry/rabbitmqclusters/laundry-rabbitmq"] = {
        "apiVersion": "rabbitmq.com/v1beta1",
        "kind": "RabbitmqCluster",
        "metadata": {"name": "laundry-rabbitmq"},
        "spec": {"rabbitmq": {"envConfig": now}},
    }
    told = install(url, tmp_path, "values", "--set", f"rabbitmq.tls.betweenNodes={wanted}")
    kept = "true" if now else "false"
    assert f"set rabbitmq.tls.betweenNodes={kept}" in told
    assert not known.changed


def autoscaler(name: str | None) -> dict[str, dict[str, Any]]:
    return {
        f"/apis/autoscaling/v2/namespaces/laundry/horizontalpodautoscalers/{name}": {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": str(name)},
        }
    }


@pytest.mark.parametrize(
    ("by", "scaler", "refused"),
    [
        ("keda", "laundry-ai-consumer", True),
        # KEDA's own.
        ("keda", "keda-hpa-laundry-ai-consumer", False),
        ("cpu", "laundry-ai-consumer", False),
        ("", "laundry-ai-consumer", False),
    ],
)
def test_pods_go_from_one_autoscaler_to_keda_by_way_of_none(
    cluster: tuple[Cluster, str], tmp_path: Path, *, by: str, scaler: str, refused: bool
) -> None:
    known, url = cluster
    known.objects |= autoscaler(scaler)
    told = install(url, tmp_path, "values", "--set", f"autoscaling.by={by}")
    assert ("upgrade with autoscaling.by set to nothing first" in told) == refused, told
    # Nor is it refused by anything else.
    assert ("execution error" in told) == refused, told
    assert not known.changed


@pytest.mark.parametrize("scaler", ["laundry-ai-consumer", "keda-hpa-laundry-ai-consumer", None])
@pytest.mark.parametrize("by", ["", "cpu"])
def test_notes_tell_of_an_autoscaler_that_is_removed_and_may_have_the_last_word(
    cluster: tuple[Cluster, str], tmp_path: Path, scaler: str | None, by: str
) -> None:
    known, url = cluster
    known.takes = True
    known.objects |= autoscaler(scaler)
    notes = notes_with(url, tmp_path, f"autoscaling.by={by}")
    told = "The same upgrade once more sets services.ai-consumer.replicas." in notes
    assert told == (scaler is not None and not by), notes


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("enabled", ["true", "false"])
def test_notes_tell_that_the_broker_s_policy_stays_and_how_to_be_without_it(
    cluster: tuple[Cluster, str], tmp_path: Path, *, there: bool, enabled: str
) -> None:
    known, url = cluster
    known.takes = True
    if there:
        known.objects["/apis/networking.k8s.io/v1/namespaces/laundry/networkpolicies/laundry-rabbitmq"] = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "laundry-rabbitmq"},
        }
    notes = notes_with(url, tmp_path, f"rabbitmq.enabled=true,networkPolicy.enabled={enabled}")
    told = "kubectl --namespace laundry delete networkpolicy laundry-rabbitmq" in notes
    assert told == (there and enabled == "false"), notes


def notes_with(url: str, folder: Path, value: str) -> str:
    """What is told after an installation, by a chart that makes nothing."""
    notes = folder / "chart"
    shutil.copytree(chart.CHART, notes, ignore=shutil.ignore_patterns("*.yaml"))
    for name in ("Chart.yaml", "values.yaml"):
        shutil.copy(chart.CHART / name, notes)
    done = helm_install(url, folder, notes, "--disable-openapi-validation", "--set", value)
    assert done.returncode == 0, done.stderr
    return done.stdout
