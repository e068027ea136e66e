"""The parts of the cluster's objects that tell how a job ended; all else in them is ignored."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Condition(_Part):
    """One of an object's conditions; it holds if ``status`` is ``True``."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None


class JobSpec(_Part):
    """How long a job may take, seconds."""

    active_deadline_seconds: int | None = None


class JobStatus(_Part):
    """What has become of a job so far."""

    conditions: list[Condition] | None = None


class JobState(_Part):
    """What Kubernetes says of a Job."""

    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class Terminated(_Part):
    """How a container ended."""

    exit_code: int = 0
    reason: str | None = None


class ContainerState(_Part):
    """What a container is doing; only its end is told here."""

    terminated: Terminated | None = None


class ContainerStatus(_Part):
    """A container of a pod."""

    state: ContainerState = ContainerState()


class PodStatus(_Part):
    """What has become of a pod so far; ``reason`` is its node's word for having ended it."""

    reason: str | None = None
    message: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None


class Metadata(_Part):
    """When an object was made, as text that sorts by time."""

    creation_timestamp: str | None = None


class PodState(_Part):
    """What Kubernetes says of a Job's pod."""

    metadata: Metadata = Metadata()
    status: PodStatus = PodStatus()
