"""Why a Job ended, from its state and its pods'. Knows the API's objects, no server."""

from collections.abc import Sequence
from typing import Literal

from mlops.launching.launcher import RETRY_LATER, JobOutcome
from mlops.launching.objects import JobState, PodState, PodStatus

End = Literal["well", "late", "badly"]

TAKEN_AWAY = ("Evicted", "Preempted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "Shutdown")
"""A pod's own words for having been ended by its node or for another pod."""

SIGNALLED = 128
"""A shell's and a container runtime's way to tell a signal: the exit code is its number and this."""


def end_of(job: JobState) -> End | None:
    """Tell whether a job has ended, and how."""
    for condition in job.status.conditions or ():
        if condition.status != "True":
            continue
        if condition.type == "Complete":
            return "well"
        if condition.type == "Failed":
            return "late" if condition.reason == "DeadlineExceeded" else "badly"
    return None


def too_late(job: JobState) -> JobOutcome:
    """Tell of a job that ran into its deadline."""
    seconds = job.spec.active_deadline_seconds
    longer = "its deadline" if seconds is None else f"{seconds} s"
    return JobOutcome(
        error=f"DeadlineExceeded: the job took longer than {longer} and was ended. If its pod never ran, "
        "its events say why (`kubectl describe`); else raise training.deadlineSeconds."
    )


def why(job: JobState, pods: Sequence[PodState] | None) -> JobOutcome:
    """Tell why a job failed.

    Args:
        pods: its pods; None where the Role does not let them be listed.
    """
    if pods is None:
        messages = [condition.message for condition in job.status.conditions or ()]
        return JobOutcome(
            error=f"The job failed: {' '.join(filter(None, messages)) or 'no reason is given'} (its pods "
            "cannot be looked at; the mlops Role lacks `pods: list`)."
        )
    if not pods:
        return JobOutcome(lost="the job's pod is gone, with its node or for another that matters more")
    status = max(pods, key=lambda each: each.metadata.creation_timestamp or "").status
    ends = [
        ended
        for container in status.container_statuses or ()
        if (ended := container.state.terminated) is not None
    ]
    if any(ended.reason == "OOMKilled" for ended in ends):
        return JobOutcome(
            error="OOMKilled: the job needed more memory than its limit. Raise it (the chart's "
            "training.<kind>.resources.limits.memory); trying again would end the same."
        )
    taken = _taken_away(status)
    if taken is not None:
        return JobOutcome(lost=f"{taken}: the cluster took the job's pod away ({status.message or ''})"[:300])
    code = next((ended.exit_code for ended in ends if ended.exit_code), None)
    return JobOutcome(lost="the job's pod ended without a word") if code is None else by_code(code)


def _taken_away(status: PodStatus) -> str | None:
    if status.reason in TAKEN_AWAY:
        return status.reason
    for condition in status.conditions or ():
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return condition.reason or "Disrupted"
    return None


def by_code(code: int) -> JobOutcome:
    """Tell why a run's process ended with an exit code that is not 0.

    One that was killed, by a person, its node or for memory, is begun again: finished steps are kept.
    """
    if code == RETRY_LATER:
        return JobOutcome(lost="the training process lost what it needs")
    if code > SIGNALLED:
        return JobOutcome(lost=f"the training process was killed by signal {code - SIGNALLED}")
    return JobOutcome(error=f"The training process ended unexpectedly (exit code {code}).")
