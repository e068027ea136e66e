"""Training runs as Jobs of the cluster, and what becomes of those that the cluster ends."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from laundry_cluster.installation import NAMESPACE, POLL_S, RELEASE, Installation
from laundry_servers.errors import LaundryError

LABEL = "laundry/training-run"
POD_S = 120.0
GONE_S = 20
# Enough to start, too little to read photos.
LITTLE = "32Mi"
# Of the volume for temporary files, by the chart 64 MiB.
TOO_MUCH = 96 * 1024 * 1024


def usual(here: Installation) -> str:
    """Let a run learn from what owners confirmed, and go its way."""
    here.ask("teach", "1")
    run = _ended(here, str(here.ask("train")["id"]))
    if run["status"] != "succeeded":
        raise LaundryError(f"A run was told as {_words(run)}")
    return f"a Job, {_words(run)}"


def without_memory(here: Installation) -> str:
    """Give the container that trains less than it needs: the run says so, and is not begun again."""
    memory = {"requests": {"cpu": "50m", "memory": LITTLE}, "limits": {"memory": LITTLE}}
    here.apply(hooks=False, training={"refit": {"resources": memory}})
    # What was read before is not read again.
    here.ask("teach", "2")
    _template(here, lambda template: LITTLE in template)
    run = _ended(here, str(here.ask("train")["id"]))
    here.apply(hooks=False)
    _template(here, lambda template: LITTLE not in template)
    if run["status"] != "failed" or "OOMKilled" not in (run["error"] or "") or run["attempts"] != 1:
        raise LaundryError(f"A run without memory was told as {_words(run)}")
    return _words(run)


def thrown_out(here: Installation) -> str:
    """Fill a run's disk: the kubelet evicts the pod, and the run is begun again."""
    run, pod = _halted(here)
    uid = pod["metadata"]["uid"]
    volume = here.cluster.places.run / "kubelet/pods" / uid / "volumes/kubernetes.io~empty-dir/tmp"
    with (volume / "filling").open("wb") as file:
        file.write(bytes(TOO_MUCH))
    reason = _until(lambda: here.get("pod", pod["metadata"]["name"])["status"].get("reason"), "an eviction")
    return f"{reason}; {_begun_again(here, run, pod)}"


def drained(here: Installation) -> str:
    """Take a run's pod away as `kubectl drain` does: it ends, and the run is begun again."""
    run, pod = _halted(here)
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    here.kubectl("create", "--raw", path, "--filename", "-", given=json.dumps(eviction))
    _signal(here, pod, signal.SIGCONT)
    # It ends by itself: Kubernetes would kill it only after 30 s.
    here.kubectl("wait", "--for=delete", f"pod/{name}", f"--timeout={GONE_S}s")
    return _begun_again(here, run, pod)


def _halted(here: Installation) -> tuple[str, dict[str, Any]]:
    """Start a run, and hold its processes so that it does not end meanwhile; returns its id and pod."""
    run = str(here.ask("train")["id"])
    chosen = ("--selector", f"{LABEL}={run}")

    def running() -> dict[str, Any] | None:
        found = [pod for pod in here.get("pods", *chosen) if pod["status"]["phase"] == "Running"]
        return found[0] if found and _processes(here, found[0]) else None

    pod: dict[str, Any] = _until(running, "the run's pod")
    _signal(here, pod, signal.SIGSTOP)
    return run, pod


def _begun_again(here: Installation, run_id: str, first: dict[str, Any]) -> str:
    run = _ended(here, run_id)
    pods = {pod["metadata"]["name"] for pod in here.get("pods", "--selector", f"{LABEL}={run_id}")}
    if run["status"] != "succeeded" or not pods - {first["metadata"]["name"]}:
        raise LaundryError(f"A run whose pod was taken away was told as {_words(run)}")
    return f"begun again, {_words(run)}"


def _ended(here: Installation, run_id: str) -> dict[str, Any]:
    run = here.ask("trained", run_id)
    if not here.get("jobs", "--selector", f"{LABEL}={run_id}"):
        raise LaundryError("The training run was no Job of the cluster.")
    return run


def _words(run: dict[str, Any]) -> str:
    said = f": {run['error']}" if run["error"] else ""
    return f"{run['status']} at attempt {run['attempts']}{said}"


def _template(here: Installation, is_there: Callable[[str], bool]) -> None:
    """Wait until mlops sees a changed template; the kubelet is in no hurry with ConfigMaps."""
    [uid] = [uid for name, uid in here.pods().items() if name.startswith(f"{RELEASE}-mlops-")]
    file = here.cluster.places.run / "kubelet/pods" / uid / "volumes/kubernetes.io~configmap/jobs/refit.json"
    _until(lambda: is_there(file.read_text()), "the changed template of Jobs")


def _processes(here: Installation, pod: dict[str, Any]) -> list[int]:
    """Return a pod's processes, as this machine numbers them."""
    group = here.cluster.group("pids")
    files = [
        file for found in group.rglob(f"pod{pod['metadata']['uid']}") for file in found.rglob("cgroup.procs")
    ]
    return [int(number) for file in files for number in _lines(file)]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _signal(here: Installation, pod: dict[str, Any], number: signal.Signals) -> None:
    for process in _processes(here, pod):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def _until(found: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + POD_S
    while not (value := found()):
        if time.monotonic() > end:
            raise LaundryError(f"{what} did not come within {POD_S:g} s.")
        time.sleep(POLL_S)
    return value
