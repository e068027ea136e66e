"""Runs as Jobs of a cluster, against its API over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from laundry_reading.manifest import Manifest
from laundry_service.storage.database import Database
from laundry_testing.messaging import eventually
from laundry_testing.serving import serving
from mlops import repository
from mlops.full.requirements import ClusterRequirements
from mlops.launching.cluster import Cluster, Unreachable
from mlops.launching.kubernetes import RUN_LABEL, KubernetesJobs, fill, name_of
from mlops.launching.launcher import JobOutcome, LaunchError
from mlops.launching.objects import JobState
from mlops.launching.outcome import why
from mlops.service.runner import Runner

TEMPLATE: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "laundry-training", "labels": {"app.kubernetes.io/name": "training"}},
    "spec": {
        "activeDeadlineSeconds": 900,
        "template": {
            "metadata": {"labels": {"app.kubernetes.io/name": "training"}},
            "spec": {"containers": [{"name": "job", "image": "laundry/mlops:1", "command": ["python"]}]},
        },
    },
}
RUN = "01a21404-8ed8-7199-bf92-c6368358a967"


def terminated(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"containerStatuses": [{"state": {"terminated": {"exitCode": code, "reason": reason}}}]}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "namespace").write_text("laundry\n")
    (folder / "token").write_text("first\n")
    return folder


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    folder.mkdir()
    for kind in ("refit", "full"):
        (folder / f"{kind}.json").write_text(json.dumps(TEMPLATE))
    return folder


@pytest_asyncio.fixture
async def fake(fake_cluster: ModuleType) -> Any:
    return fake_cluster.FakeCluster()


@asynccontextmanager
async def api(fake: Any) -> AsyncIterator[str]:
    async with serving(fake.app(), grace_s=1) as client:
        try:
            yield str(client.base_url)
        finally:
            await fake.tell()


@pytest.fixture
def retry_for_s() -> float:
    """How long a silent cluster is waited for."""
    return 60


@pytest_asyncio.fixture
async def jobs(
    fake: Any, account: Path, templates: Path, retry_for_s: float
) -> AsyncIterator[KubernetesJobs]:
    async with api(fake) as url:
        cluster = Cluster(url, account)
        yield KubernetesJobs(cluster, templates, retry_for_s=retry_for_s)
        await cluster.close()


def test_a_template_is_filled_with_name_run_and_nothing_else() -> None:
    job = fill(TEMPLATE, RUN, 2)
    assert job["metadata"]["name"] == f"laundry-training-{RUN}-2"
    assert len(name_of({"metadata": {"name": "x" * 60}}, RUN, 12)) <= 63
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container == {**TEMPLATE["spec"]["template"]["spec"]["containers"][0], "args": [RUN, "--alone"]}
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels == {"app.kubernetes.io/name": "training", RUN_LABEL: RUN}
    assert "args" not in TEMPLATE["spec"]["template"]["spec"]["containers"][0]


async def test_a_job_is_created_watched_and_ends_well(fake: Any, jobs: KubernetesJobs) -> None:
    job = await jobs.launch(RUN, "refit", 1)
    [name] = fake.created
    waiting = asyncio.create_task(job.wait())
    await eventually(lambda: fake.watches == 1, what="a watch")
    await fake.end(name, "Complete")
    assert await waiting == JobOutcome()
    # Who asks later is told at once.
    assert await job.wait() == JobOutcome()


@pytest.mark.parametrize(
    ("reason", "pod", "field", "told"),
    [
        ("BackoffLimitExceeded", terminated(137, "OOMKilled"), "error", "OOMKilled"),
        ("BackoffLimitExceeded", {"reason": "Evicted", "message": "low on memory"}, "lost", "Evicted"),
        (
            "BackoffLimitExceeded",
            {
                **terminated(137),
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
                ],
            },
            "lost",
            "PreemptionByScheduler",
        ),
        ("BackoffLimitExceeded", terminated(1), "error", "exit code 1"),
        ("BackoffLimitExceeded", terminated(137), "lost", "signal 9"),
        ("BackoffLimitExceeded", terminated(75), "lost", "lost what it needs"),
        ("BackoffLimitExceeded", {}, "lost", "without a word"),
        ("BackoffLimitExceeded", None, "lost", "pod is gone"),
        ("DeadlineExceeded", None, "error", "longer than 900 s"),
    ],
)
async def test_why_a_job_failed_is_told_apart(
    reason: str, pod: dict[str, Any] | None, field: str, told: str, fake: Any, jobs: KubernetesJobs
) -> None:
    job = await jobs.launch(RUN, "full", 1)
    await fake.end(fake.created[0], "Failed", reason, pod)
    ended = await job.wait()
    assert told in str(getattr(ended, field))
    assert (ended.error is None) != (ended.lost is None)


def test_without_a_right_to_pods_the_job_itself_tells() -> None:
    conditions = [{"type": "Failed", "status": "True", "message": "backoff limit reached"}]
    ended = why(JobState.model_validate({"status": {"conditions": conditions}}), None)
    assert "backoff limit reached" in str(ended.error)
    assert "pods: list" in str(ended.error)


async def test_pods_that_may_not_be_seen_fail_the_run_with_what_is_known(
    fake: Any, jobs: KubernetesJobs
) -> None:
    job = await jobs.launch(RUN, "full", 1)
    fake.refused.add("pods")
    await fake.end(fake.created[0], "Failed", "BackoffLimitExceeded", terminated(1))
    assert "told: BackoffLimitExceeded" in str((await job.wait()).error)


async def test_what_the_role_lacks_is_said(fake: Any, jobs: KubernetesJobs) -> None:
    fake.refused |= {"create", "get"}
    with pytest.raises(LaunchError, match="mlops cannot create"):
        await jobs.launch(RUN, "refit", 1)
    with pytest.raises(LaunchError, match="mlops cannot get"):
        await jobs.find(RUN, "refit", 1)
    fake.refused = {"watch"}
    assert "cannot watch" in str((await (await jobs.launch(RUN, "refit", 1)).wait()).error)


async def test_an_answer_that_is_lost_makes_no_second_job(fake: Any, jobs: KubernetesJobs) -> None:
    fake.failures.extend([500, 429])
    fake.lose_answers = True
    job = await jobs.launch(RUN, "refit", 1)
    assert len(fake.created) == 1
    await fake.end(fake.created[0], "Complete")
    assert await job.wait() == JobOutcome()


@pytest.mark.parametrize("retry_for_s", [6])
async def test_a_cluster_that_stays_silent_fails_the_launch_and_never_the_search(
    fake: Any, jobs: KubernetesJobs
) -> None:
    fake.failures.extend([503] * 50)
    with pytest.raises(LaunchError, match="told to fail with 503"):
        await jobs.launch(RUN, "refit", 1)
    # Whether there is a job is unknown: beginning another would be wrong.
    with pytest.raises(Unreachable):
        await jobs.find(RUN, "refit", 1)


async def test_watches_that_break_and_a_silent_cluster_are_waited_out(
    fake: Any, jobs: KubernetesJobs
) -> None:
    job = await jobs.launch(RUN, "refit", 1)
    fake.cut_watches = True
    waiting = asyncio.create_task(job.wait())
    await eventually(lambda: fake.watches >= 2, what="a second watch")
    fake.cut_watches = False
    fake.failures.extend([500, 503])
    await fake.end(fake.created[0], "Complete")
    assert await asyncio.wait_for(waiting, 30) == JobOutcome()


async def test_a_replaced_token_is_taken(fake: Any, jobs: KubernetesJobs, account: Path) -> None:
    job = await jobs.launch(RUN, "refit", 1)
    fake.token = "second"
    waiting = asyncio.create_task(job.wait())
    await eventually(lambda: fake.strangers > 0, what="the old token's refusal")
    (account / "token").write_text("second")
    await fake.end(fake.created[0], "Complete")
    assert await asyncio.wait_for(waiting, 30) == JobOutcome()


async def test_a_job_that_somebody_deletes_is_begun_anew(fake: Any, jobs: KubernetesJobs) -> None:
    job = await jobs.launch(RUN, "refit", 1)
    waiting = asyncio.create_task(job.wait())
    await eventually(lambda: fake.watches == 1, what="a watch")
    fake.jobs.clear()
    await fake.tell()
    assert "deleted" in str((await waiting).lost)


async def test_ending_deletes_the_job_with_its_pods_and_may_be_repeated(
    fake: Any, jobs: KubernetesJobs
) -> None:
    job = await jobs.launch(RUN, "refit", 1)
    fake.failures.append(500)
    await job.end()
    await job.end()
    [(name, options)] = fake.deleted
    assert (name, options["propagationPolicy"]) == (fake.created[0], "Background")


async def test_a_full_run_needs_weights_and_a_template(templates: Path, shipped: Manifest) -> None:
    requirements = ClusterRequirements(templates)
    assert len(await requirements.lacking(shipped)) == 1
    (templates / "full.json").unlink()
    assert "training.full.enabled" in (await requirements.lacking(shipped))[1]


@pytest.fixture
def shipped(tmp_path: Path, fake_trainer: ModuleType) -> Manifest:
    fake_trainer.put(tmp_path / "m", "m-1", fake_trainer.RIGHT)
    manifest = Manifest.from_json((tmp_path / "m" / "manifest.json").read_bytes())
    return manifest.model_copy(update={"weights": None})


async def state_of(database: Database, run_id: str) -> tuple[str, str | None, int]:
    async with database.session() as session:
        run = await repository.get_run(session, run_id)
    assert run is not None
    return run.status, run.error, run.attempts


async def queued(database: Database) -> str:
    async with database.transaction() as session:
        return (await repository.add_run(session, "refit", requested_by="op")).id


@pytest.mark.servers
async def test_a_service_that_restarts_finds_its_job_again(
    database: Database, database_url: str, fake: Any, jobs: KubernetesJobs
) -> None:
    run_id = await queued(database)
    first = Runner(database, database_url, jobs, timeout_s=60)
    await first.start()
    await eventually(lambda: fake.watches == 1, what="the first watch")
    await first.stop()
    assert await state_of(database, run_id) == ("running", None, 1)
    second = Runner(database, database_url, jobs, timeout_s=60)
    await second.start()
    await eventually(lambda: fake.watches == 2, what="the second service's watch")
    await fake.end(fake.created[0], "Failed", "BackoffLimitExceeded", terminated(137, "OOMKilled"))

    async def failed() -> bool:
        return (await state_of(database, run_id))[0] == "failed"

    await eventually(failed, what="the run's end")
    await second.stop()
    assert len(fake.created) == 1
    assert "OOMKilled" in str((await state_of(database, run_id))[1])


@pytest.mark.servers
async def test_cancelling_deletes_the_job_and_an_eviction_makes_another(
    database: Database, database_url: str, fake: Any, jobs: KubernetesJobs
) -> None:
    run_id = await queued(database)
    runner = Runner(database, database_url, jobs, timeout_s=60)
    await runner.start()
    await eventually(lambda: fake.watches == 1, what="the first watch")
    await fake.end(fake.created[0], "Failed", "BackoffLimitExceeded", {"reason": "Evicted"})
    await eventually(lambda: len(fake.created) == 2, what="the second attempt's job")
    assert [name.rpartition("-")[2] for name in fake.created] == ["1", "2"]
    assert all(run_id in name for name in fake.created)
    async with database.transaction() as session:
        assert await repository.move_run(session, run_id, "cancelled")
    await eventually(lambda: len(fake.deleted) == 1, what="the job's deletion")
    await runner.stop()
    assert fake.deleted[0][0] == fake.created[1]
    assert await state_of(database, run_id) == ("cancelled", None, 2)


@pytest.mark.servers
async def test_a_run_whose_service_died_before_its_job_was_made_is_begun_anew(
    database: Database, database_url: str, fake: Any, jobs: KubernetesJobs
) -> None:
    left = await queued(database)
    async with database.transaction() as session:
        await repository.move_run(session, left, "running")
    runner = Runner(database, database_url, jobs, timeout_s=60)
    await runner.start()
    await eventually(lambda: len(fake.created) == 1, what="a job")
    await runner.stop()
    assert fake.created == [name_of(TEMPLATE, left, 2)]


def test_outside_of_a_cluster_the_setting_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(LookupError, match="LAUNDRY_TRAINING_JOBS=process"):
        Cluster.of_this_pod()
