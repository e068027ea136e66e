"""Training jobs as Kubernetes Jobs: they outlive the service and are found again by name."""

import asyncio
import copy
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from mlops.jobs.entry import ALONE
from mlops.launching.cluster import Cluster, Exists, Missing, Object, Refused, Unreachable
from mlops.launching.launcher import Job, JobOutcome, LaunchError
from mlops.launching.objects import JobState, PodState
from mlops.launching.outcome import end_of, too_late, why

RETRY_FOR_S = 60.0
"""How long a call is tried while the cluster does not answer."""

PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
RUN_LABEL = "laundry/training-run"
MOST_OF_PREFIX = 20
"""A job's name becomes a label of its pods, which holds 63 characters."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


class KubernetesJobs:
    """Starts Jobs from templates: image, resources, environment and security are the chart's."""

    outlive = True

    def __init__(self, cluster: Cluster, templates: Path, *, retry_for_s: float = RETRY_FOR_S) -> None:
        """Take the folder with one ``<kind>.json`` for each kind of run."""
        self._cluster = cluster
        self._templates = templates
        self._retry_for_s = retry_for_s

    async def launch(self, run_id: str, kind: str, attempt: int) -> Job:
        """Create a Job, or adopt the one that a lost response created; as ``Launcher``."""
        job = fill(self._template(kind), run_id, attempt)
        name = job["metadata"]["name"]
        try:
            await retrying(lambda: self._cluster.create_job(job), self._retry_for_s)
        except Exists:
            log.info("the run's job is there already", job=name)
        except Refused as error:
            raise LaunchError(
                f"The cluster refuses the training job: {error} The chart's Role lets mlops create jobs; a "
                "quota or an admission rule may forbid it."
            ) from error
        except (Missing, Unreachable) as error:
            raise LaunchError(
                f"The cluster's API does not take the training job: {error} Start the run again later."
            ) from error
        return KubernetesJob(self._cluster, name, retry_for_s=self._retry_for_s)

    async def find(self, run_id: str, kind: str, attempt: int) -> Job | None:
        """Find the Job of an attempt; as ``Launcher``.

        Raises:
            Unreachable: nobody knows whether there is one.
            LaunchError: this service may not look.
        """
        name = name_of(self._template(kind), run_id, attempt)
        try:
            await retrying(lambda: self._cluster.get_job(name), self._retry_for_s)
        except Missing:
            return None
        except Refused as error:
            raise LaunchError(f"The cluster does not let mlops look for its training job: {error}") from error
        return KubernetesJob(self._cluster, name, retry_for_s=self._retry_for_s)

    def _template(self, kind: str) -> Object:
        path = self._templates / f"{kind}.json"
        try:
            template: Object = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LaunchError(f"There is no template for a {kind} run: {path} ({error}).") from error
        return template


class KubernetesJob:
    """A Job of the cluster."""

    def __init__(self, cluster: Cluster, name: str, *, retry_for_s: float) -> None:
        self._cluster = cluster
        self._name = name
        self._retry_for_s = retry_for_s

    async def wait(self) -> JobOutcome:
        """Wait for its end, also while the cluster is unreachable: the Job continues meanwhile."""
        pause_s = PAUSE_S
        while True:
            try:
                job = await self._cluster.get_job(self._name)
                ended = await self._ended(job)
                if ended is not None:
                    return ended
                pause_s = PAUSE_S
                async for change, job in self._cluster.watch_job(self._name):
                    if change == "DELETED":
                        break
                    ended = await self._ended(job)
                    if ended is not None:
                        return ended
            except Missing:
                return JobOutcome(lost="the training job was deleted")
            except Refused as error:
                return JobOutcome(error=f"The cluster does not let mlops watch its training job: {error}")
            except Unreachable as error:
                log.warning("the cluster does not tell of a training job", job=self._name, error=str(error))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _ended(self, job: JobState) -> JobOutcome | None:
        end = end_of(job)
        if end is None:
            return None
        if end == "well":
            return JobOutcome()
        if end == "late":
            return too_late(job)
        try:
            pods: list[PodState] | None = await self._cluster.pods_of(self._name)
        except Refused:
            pods = None
        return why(job, pods)

    async def end(self) -> None:
        """Delete it; its pod gets SIGTERM, and the run's own process notices the cancellation too."""
        try:
            await retrying(lambda: self._cluster.delete_job(self._name), self._retry_for_s)
        except Missing:
            pass
        except (Refused, Unreachable) as error:
            log.warning("a training job could not be deleted", job=self._name, error=str(error))


def name_of(template: Object, run_id: str, attempt: int) -> str:
    """Return the name of an attempt's Job: deterministic, so that none is created twice."""
    prefix = str(template["metadata"]["name"])[:MOST_OF_PREFIX].rstrip("-.")
    return f"{prefix}-{run_id}-{attempt}"


def fill(template: Object, run_id: str, attempt: int) -> Object:
    """Fill name, label and run id into a template; the rest is the chart's."""
    job = copy.deepcopy(template)
    job["metadata"]["name"] = name_of(template, run_id, attempt)
    pod: dict[str, Any] = job["spec"]["template"]
    for metadata in (job["metadata"], pod.setdefault("metadata", {})):
        metadata.setdefault("labels", {})[RUN_LABEL] = run_id
    pod["spec"]["containers"][0]["args"] = [run_id, ALONE]
    return job


async def retrying(call: Callable[[], Awaitable[T]], retry_for_s: float) -> T:
    """Retry a call while the cluster does not answer.

    Raises:
        Unreachable: for so long; other errors at once.
    """
    deadline, pause_s = time.monotonic() + retry_for_s, PAUSE_S
    while True:
        try:
            return await call()
        except Unreachable:
            if time.monotonic() + pause_s > deadline:
                raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
