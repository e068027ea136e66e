"""Starts and ends a cluster in namespaces of its own; when it ends, nothing of it is left on the machine."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from laundry_cluster import certificates
from laundry_cluster.places import NAMESPACE, NODE_ADDRESS, SECOND_NODE_ADDRESS, Places
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_json
from laundry_servers.programs import run

FIRST, SECOND = "node-1", "node-2"
READY_S = 180.0
NODES = 2
GROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
INSIDE = Path(__file__).with_name("inside.py")
# Memory is there and processors are not: garbage is collected at five times the heap, not at twice.
GO = {"GOGC": "400"}
# Until everything in it has ended.
PATIENCE_S = 20.0


class Cluster:
    """A running cluster of two nodes, of which the second takes no pods until it is asked to."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[Path] = []
        self._claimed = False

    def check_may_start(self) -> None:
        """Raise LaundryError where none can be started."""
        if os.geteuid() != 0:
            raise LaundryError("A cluster needs root: it mounts file systems and makes networks.")
        if self.is_up:
            raise LaundryError(
                f"A cluster runs already, or was left behind. To remove it: ip netns del {NAMESPACE}"
            )

    def start(self) -> None:
        """Start a fresh one and wait until its nodes are ready. Raises LaundryError."""
        self.check_may_start()
        # First of all: of two that start at the same time, only one can add it.
        run(["ip", "netns", "add", NAMESPACE])
        self._claimed = True
        places = self.places
        for folder in (places.run, places.pki):
            shutil.rmtree(folder, ignore_errors=True)
        places.run.mkdir(parents=True)
        certificates.make(places.pki, NODE_ADDRESS, SECOND_NODE_ADDRESS)
        self._groups = _make_groups()
        with (places.run / "cluster.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [
                    *("ip", "netns", "exec", NAMESPACE, "unshare", "--mount", "--pid", "--fork"),
                    *("--kill-child", "--cgroup", "--propagation", "private"),
                    *(sys.executable, str(INSIDE), str(places.folder), NODE_ADDRESS, SECOND_NODE_ADDRESS),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **GO, "MORE_ADMISSION": "PodSecurityPolicy"},
                start_new_session=True,
                preexec_fn=lambda: _enter(self._groups),  # noqa: PLW1509 - no thread runs yet
            )
        self._await_nodes()

    @property
    def is_up(self) -> bool:
        """Whether one is running, or was left behind."""
        return NAMESPACE in run(["ip", "netns", "list"])

    def _await_nodes(self) -> None:
        assert self._process is not None
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                tail = (self.places.run / "cluster.log").read_text(errors="replace")[-1500:]
                raise LaundryError(f"The cluster ended:\n{tail}")
            if (self.places.run / "started").exists() and self._is_ready():
                return
            time.sleep(0.5)
        raise LaundryError(f"Not ready within {READY_S:g} s. Logs: {self.places.run / 'log'}")

    def _is_ready(self) -> bool:
        try:
            nodes = json.loads(self.kubectl("get", "nodes", "--output", "json"))["items"]
            self.kubectl("--namespace", "default", "get", "serviceaccount", "default")
        except LaundryError:
            return False
        ready = [
            condition
            for node in nodes
            for condition in node["status"]["conditions"]
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]
        return len(ready) == NODES

    def stop(self) -> None:
        """End everything in it at once, if it was started here; its files stay until the next start."""
        if not self._claimed:
            return
        if self._process is not None:
            # unshare heeds no SIGTERM; with its child the whole process namespace ends.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
        with suppress(LaundryError):
            run(["ip", "netns", "del", NAMESPACE])
        for group in self._groups:
            _remove_group(group)

    def kubectl(self, *arguments: str, given: str | None = None, timeout_s: float = 120) -> str:
        """Run kubectl as the administrator."""
        return self.run(
            str(self.places.root / "usr/bin/kubectl"), *arguments, given=given, timeout_s=timeout_s
        )

    def run(
        self,
        *command: str,
        given: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 600,
    ) -> str:
        """Run a program of the machine in the cluster's network."""
        return run(
            [*self.entering, *command],
            given=given,
            env={**self.environment, **(env or {})},
            timeout_s=timeout_s,
        )

    @property
    def entering(self) -> list[str]:
        """What begins the command line of a program in the cluster's network."""
        return ["nsenter", f"--net=/run/netns/{NAMESPACE}"]

    @property
    def environment(self) -> dict[str, str]:
        """How kubectl and helm find the cluster, and where they keep what they keep."""
        home = str(self.places.run / "helm")
        return {
            **GO,
            "KUBECONFIG": str(self.places.kubeconfig),
            "KUBECACHEDIR": str(self.places.run / "kube"),
            **dict.fromkeys(("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"), home),
        }

    def group(self, controller: str) -> Path:
        """Return the folder in which the cluster's processes are counted."""
        return _group_of(controller)

    def load(self, archive: Path, node: str = FIRST) -> None:
        """Let a node have the images of an archive, unless it has them; they stay for the next cluster."""
        store = self.places.store(node)
        taken, made_of = store / f"{archive.stem}.json", archive.with_suffix(".json")
        place = self.places.run if node == FIRST else self.places.run / node
        with (store / "images.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (wanted := read_json(made_of)) is not None and wanted == read_json(taken):
                return
            ctr = self.places.root / "usr/bin/ctr"
            run([ctr, "-a", place / "containerd.sock", "-n", "k8s.io", "images", "import", archive])
            write_json(taken, wanted)


@contextmanager
def running(places: Places) -> Iterator[Cluster]:
    """A cluster while the block runs."""
    cluster = Cluster(places)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _group_of(controller: str) -> Path:
    """Return the cluster's branch of a cgroup hierarchy: below this process's own."""
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.removeprefix("name=").split(","), path)
    hierarchy = GROUPS / controller
    if controller not in own or not hierarchy.is_dir():
        raise LaundryError(f"This Kubernetes needs cgroups of version 1, and {hierarchy} is not one of them.")
    return hierarchy / own[controller].strip("/") / NAMESPACE


def _make_groups() -> list[Path]:
    found = []
    for controller in CONTROLLERS:
        group = _group_of(controller)
        group.mkdir(parents=True, exist_ok=True)
        if controller == "cpuset":
            for name in ("cpuset.cpus", "cpuset.mems"):
                (group / name).write_text((GROUPS / controller / name).read_text())
        found.append(group)
    return found


def _enter(groups: list[Path]) -> None:
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()))


def _remove_group(group: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while group.exists() and time.monotonic() < end:
        for folder in sorted(group.rglob("*"), reverse=True):
            if folder.is_dir():
                with suppress(OSError):
                    folder.rmdir()
        with suppress(OSError):
            group.rmdir()
        time.sleep(0.2)
