"""A new model reaches every replica and no other service notices (DD-02 DG-03); a forged one reaches none.

Whatever happens to the training process meanwhile: a run outlives the service that runs it.
"""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import IncompleteReadError, ResponseStreamingError

from laundry.demo.client import People, Services, StoryFailed, until
from laundry.learn.photos import Shot, drawn
from laundry.learn.story import ENDED, Learning
from laundry.paths import StackPaths
from laundry_reading.signing import FIELD, SigningKey, TrustedKeys
from laundry_reading.storage import CHAMPION_KEY
from laundry_servers.addresses import ObjectStoreAddress
from laundry_servers.files import read_json
from laundry_testing import s3
from mlops.examples import FIRST_BRANCHES, side_of
from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]

OTHERS = ("helper", "notification", "notification-faults", "search", "monitoring", "web")
TRIES = 3


def learning(services: Services, people: People, stack_folder: Path) -> Learning:
    """Tell of a branch that teaches: one of five stands aside to judge what others have taught."""
    while True:
        story = Learning(services, people, StackPaths(stack_folder), ["1"])
        if side_of(story.homes["1"], FIRST_BRANCHES) == "learning":
            return story


async def teach(story: Learning, shots: list[Shot]) -> None:
    """Let the owner confirm what each photo shows."""
    tasks = await story.read(shots, None, lambda _: None)
    await story.confirm(tasks, [shot.label for shot in shots], story.owner, lambda _: None)


def lives(folder: Any) -> dict[str, tuple[int, float]]:
    """Process ids with start times, which identify a process even if its id is reused."""
    document = read_json(StackPaths(folder).stack_file)
    assert document is not None
    return {
        name: (pid, psutil.Process(pid).create_time())
        for name, pid in document["pids"].items()
        if name in OTHERS
    }


async def test_a_model_is_learnt_served_by_all_and_taken_back_without_anybody_else(
    services: Services, people: People, stack_folder: Any
) -> None:
    before = lives(stack_folder)
    assert set(before) == set(OTHERS)
    story = learning(services, people, stack_folder)
    champion = (await story.champion())["version"]
    shots = drawn(4)
    await teach(story, shots)
    run, _ = await story.retrain(lambda _: None)
    assert run["model_version"], "; ".join(run["decision"]["reasons"])
    log = await services.json("GET", "mlops", f"/training-runs/{run['id']}/log", who=story.operator)
    assert len(log["items"]) > 3
    if not run["decision"]["promoted"]:
        path = f"/models/{run['model_version']}/promotion"
        reason = {"override_reason": "drawn photos say little; this is a rehearsal"}
        await services.json("POST", "mlops", path, who=story.operator, json=reason)
    assert (await story.served_by_all(run["model_version"]))[0] == 3
    (read,) = await story.read(shots[:1], None, lambda _: None)
    assert read["reading"]["model_version"] == run["model_version"]
    rolled = await asyncio.to_thread(laundry, stack_folder, "models", "rollback")
    assert rolled.returncode == 0, rolled.stderr
    assert rolled.stdout == f"{champion} is the champion again\n"
    assert (await story.served_by_all(champion))[0] == 3
    (read,) = await story.read(shots[:1], None, lambda _: None)
    assert read["reading"]["model_version"] == champion
    assert lives(stack_folder) == before


def jobs_of(run_id: str) -> list[psutil.Process]:
    """Find the processes of a run, whatever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if "mlops.refit" in command and run_id in command:
                found.append(process)
    return found


@contextmanager
def halted(processes: list[psutil.Process]) -> Iterator[None]:
    """Pause processes; those that still exist afterwards continue."""
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


async def kill_mlops_in_a_run(story: Learning, folder: Path) -> tuple[str, list[psutil.Process]]:
    """Kill mlops during a run; returns the run's id and its processes at that time."""

    async def ask(path: str) -> Any:
        return await story.services.json("GET", "mlops", path, who=story.operator)

    for number in range(TRIES):
        # Features already extracted, or photos already learnt, would be no work.
        await teach(story, drawn(4, first=100 + 4 * number))
        run = await story.services.json(
            "POST", "mlops", "/training-runs", who=story.operator, json={"kind": "refit"}
        )
        path = f"/training-runs/{run['id']}"

        async def at_work(path: str = path) -> bool:
            # The first line of its log was written by the job itself.
            return bool((await ask(f"{path}/log"))["items"]) or (await ask(path))["status"] in ENDED

        await until(at_work, within_s=60, what="a run at work")
        jobs = jobs_of(run["id"])
        # While its process is paused the run cannot end between this check and the kill.
        with halted(jobs):
            if jobs and (await ask(path))["status"] == "running":
                document = read_json(StackPaths(folder).stack_file)
                assert document is not None
                psutil.Process(document["pids"]["mlops"]).kill()
                return run["id"], jobs
    raise AssertionError(f"{TRIES} runs ended before mlops could be killed")


async def test_a_run_whose_service_is_killed_is_begun_anew_and_its_process_is_gone(
    services: Services, people: People, stack_folder: Path
) -> None:
    story = learning(services, people, stack_folder)
    run_id, jobs = await kill_mlops_in_a_run(story, stack_folder)

    async def ended() -> Any:
        with suppress(StoryFailed):  # mlops is still restarting
            run = await services.json("GET", "mlops", f"/training-runs/{run_id}", who=story.operator)
            return run if run["status"] in ENDED else None

    run, _ = await until(ended, within_s=90, what="the end of the run that was started again")
    assert (run["status"], run["attempts"]) == ("succeeded", 2), run
    log = await services.json("GET", "mlops", f"/training-runs/{run_id}/log", who=story.operator)
    said = [line["text"] for line in log["items"]]
    again = [place for place, text in enumerate(said) if "started again" in text]
    assert len(again) == 1, said
    assert said[again[0]].startswith("the service stopped while this run was going on")
    afterwards = said[again[0] + 1 :]
    # Had the first process continued too, it would have logged the same.
    assert len(set(afterwards)) == len(afterwards) > 0, said

    async def gone() -> bool:
        return not any(job.is_running() for job in jobs) and not jobs_of(run_id)

    await until(gone, within_s=30, what="the end of the run's processes, collected by the supervisor")


async def test_an_operator_follows_a_run_from_the_command_line(
    services: Services, people: People, stack_folder: Path
) -> None:
    story = learning(services, people, stack_folder)
    await teach(story, drawn(4, first=8))

    async def runs(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(laundry, stack_folder, "runs", *arguments)

    followed = await runs("start")
    assert followed.returncode == 0, followed.stderr
    run = followed.stdout.split()[0]
    # Whichever end: what the tests before it have taught decides.
    ends = ("became the champion", "was not promoted", "no model is made")
    assert any(end in followed.stdout for end in ends), followed.stdout
    told = (await runs("log", run)).stdout.splitlines()
    assert len(told) > 3
    assert set(told) <= set(followed.stdout.splitlines())
    assert run in (await runs("list")).stdout
    too_late = await runs("cancel", run)
    assert too_late.returncode == 1
    assert "already ended" in too_late.stderr


async def test_who_can_write_to_the_bucket_does_not_decide_what_replicas_serve(
    services: Services, people: People, stack: dict[str, Any], stack_folder: Path
) -> None:
    operator = people.person("operator", "op-1")
    address = stack["s3"]
    bucket = s3.client(
        ObjectStoreAddress(address["endpoint_url"], address["access_key"], address["secret_key"])
    )

    def told() -> bytes:
        while True:
            try:
                return bucket.get_object(Bucket=address["bucket"], Key=CHAMPION_KEY)["Body"].read()
            except (IncompleteReadError, ResponseStreamingError, bucket.exceptions.NoSuchKey):
                continue  # the local store writes in place, and this was read meanwhile

    async def replicas() -> list[dict[str, Any]]:
        try:
            page = await services.json("GET", "mlops", "/models/replicas", who=operator)
        except StoryFailed as error:
            if "answered 503" not in str(error):
                raise
            return []  # the replica's report is being rewritten right now
        items: list[dict[str, Any]] = page["items"]
        return items

    # As written before models were signed, and as anybody could write it.
    document = json.loads(told())
    del document[FIELD]
    unsigned = json.dumps(document).encode()

    async def refused_by_all() -> bool:
        if told() != unsigned:  # mlops corrects it once a minute
            bucket.put_object(Bucket=address["bucket"], Key=CHAMPION_KEY, Body=unsigned)
        seen = await replicas()
        return len(seen) == 3 and all(
            each["refused"] and "not signed" in each["refused"]["why"] and each["in_step"] for each in seen
        )

    await until(refused_by_all, within_s=60, what="the refusal of an unsigned champion by all replicas")
    restarted = laundry(stack_folder, "restart", "mlops")
    assert restarted.returncode == 0, restarted.stderr

    async def accepted_by_all() -> bool:
        seen = await replicas()
        return len(seen) == 3 and all(not each["refused"] and each["in_step"] for each in seen)

    await until(accepted_by_all, within_s=60, what="the champion signed again")
    kept = read_json(StackPaths(stack_folder).secrets_file)
    assert kept is not None
    trusted = TrustedKeys([SigningKey.parse(kept["model_signing_key"]).public])
    assert trusted.open(told(), "champion").version == document["version"]
