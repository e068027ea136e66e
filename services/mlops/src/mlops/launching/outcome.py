"""What a job's state and its pods' tell of how it ended. Knows the shape of the API's objects, no server."""

from collections.abc import Sequence
from typing import Any, Literal

from mlops.launching.launcher import RETRY_LATER, JobOutcome

Object = dict[str, Any]
End = Literal["well", "late", "badly"]

TAKEN_AWAY = ("Evicted", "Preempted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "Shutdown")
"""A pod's own words for having been ended by its node or for another pod."""

SIGNALLED = 128
"""A shell's and a container runtime's way to tell a signal: the exit code is its number and this."""


def end_of(job: Object) -> End | None:
    """Tell whether a job has ended, and how."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition.get("status") != "True":
            continue
        if condition.get("type") == "Complete":
            return "well"
        if condition.get("type") == "Failed":
            return "late" if condition.get("reason") == "DeadlineExceeded" else "badly"
    return None


def too_late(job: Object) -> JobOutcome:
    """Tell of a job that ran into its deadline."""
    seconds = job.get("spec", {}).get("activeDeadlineSeconds", "its")
    return JobOutcome(
        error=f"DeadlineExceeded: the job took longer than {seconds} s and was ended. If its pod never ran, "
        "its events say why (`kubectl describe`); else raise training.deadlineSeconds."
    )


def why(job: Object, pods: Sequence[Object] | None) -> JobOutcome:
    """Tell why a job failed.

    Args:
        pods: its pods; None where the Role does not let them be listed.
    """
    if pods is None:
        messages = [c.get("message", "") for c in job.get("status", {}).get("conditions") or []]
        return JobOutcome(
            error=f"The job failed: {' '.join(filter(None, messages)) or 'no reason is given'} (its pods "
            "cannot be looked at; the mlops Role lacks `pods: list`)."
        )
    if not pods:
        return JobOutcome(lost="the job's pod is gone, with its node or for another that matters more")
    newest = max(pods, key=lambda each: str(each.get("metadata", {}).get("creationTimestamp", "")))
    status = newest.get("status", {})
    ends = [
        ended
        for container in status.get("containerStatuses") or []
        if (ended := container.get("state", {}).get("terminated"))
    ]
    if any(ended.get("reason") == "OOMKilled" for ended in ends):
        return JobOutcome(
            error="OOMKilled: the job needed more memory than its limit. Raise it (the chart's "
            "training.<kind>.resources.limits.memory); trying again would end the same."
        )
    taken = _taken_away(status)
    if taken is not None:
        return JobOutcome(
            lost=f"{taken}: the cluster took the job's pod away ({status.get('message', '')})"[:300]
        )
    return _by_code(next((int(ended["exitCode"]) for ended in ends if ended.get("exitCode")), None))


def _taken_away(status: Object) -> str | None:
    if status.get("reason") in TAKEN_AWAY:
        return str(status["reason"])
    for condition in status.get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return str(condition.get("reason", "Disrupted"))
    return None


def _by_code(code: int | None) -> JobOutcome:
    if code is None:
        return JobOutcome(lost="the job's pod ended without a word")
    if code == RETRY_LATER:
        return JobOutcome(lost="the training process lost what it needs")
    if code > SIGNALLED:
        return JobOutcome(lost=f"the training process was killed by signal {code - SIGNALLED}")
    return JobOutcome(error=f"The training process ended unexpectedly (exit code {code}).")
