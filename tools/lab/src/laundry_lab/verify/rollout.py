"""MLOps is changed and restarted; nothing else is, and the helper keeps serving."""

import asyncio
import time

import httpx
import psutil

from laundry.stack import state
from laundry.stack.restart import restart
from laundry_catalogue import process_names
from laundry_lab.bench.pictures import Pictures, multipart
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.kept_settings import kept_settings
from laundry_lab.report import percentile
from laundry_lab.verify.outcomes import Outcome, Verification

CHANGED, SETTING = "mlops", "LAUNDRY_REFIT_MIN_TRAINING"
RATE = 10
BEFORE_S = AFTER_S = 3.0
RUN_S = 60.0
CLAUSE = "MLOps changed and restarted"


async def check(stage: Stage, found: Verification) -> None:
    """Upload at a steady rate while MLOps gets another setting, and check which processes restarted."""
    demanded = 4_000 + stage.document["pids"][CHANGED] % 1000
    before = _starts(stage)
    began = time.monotonic()
    failed: list[str] = []
    advance = stage.say("restarting mlops while photos are uploaded", 1)
    async with kept_settings(stage.paths, CHANGED, SETTING):
        async with stage.client("helper") as client:
            uploading = asyncio.create_task(_upload(stage, client, found, failed, began))
            try:
                await asyncio.sleep(BEFORE_S)
                found.series.upload_marks.append((time.monotonic() - began, "mlops asked to stop"))
                await asyncio.to_thread(restart, stage.paths, CHANGED, {SETTING: str(demanded)})
                found.series.upload_marks.append((time.monotonic() - began, "mlops ready"))
                seconds = found.series.upload_marks[-1][0] - found.series.upload_marks[-2][0]
                said = await _ask_for_refit(stage)
                await asyncio.sleep(AFTER_S)
            finally:
                uploading.cancel()
                await asyncio.gather(uploading, return_exceptions=True)
        after = _starts(stage)
    advance(1)
    others = [name for name in before if name != CHANGED and before[name] != after.get(name)]
    taken = [each for _, each in found.series.uploads]
    if not taken:
        raise NotMeasured("rollout: no photo was uploaded")
    changed = f"{demanded:,}" in said or str(demanded) in said
    found.outcomes += [
        Outcome(
            CLAUSE,
            "mlops is a new process that follows the change",
            float(changed and before[CHANGED] != after.get(CHANGED)),
            "",
            1,
            at_most=False,
            note=f"{SETTING}={demanded}; ready again after {seconds:.1f} s",
        ),
        Outcome(CLAUSE, "other services restarted", len(others), "", 0, note=", ".join(others)),
        Outcome(
            CLAUSE,
            "uploads refused",
            len(failed),
            "",
            0,
            note=failed[0]
            if failed
            else f"{len(taken)} uploads, p95 {1000 * percentile(taken, 0.95):.0f} ms",
        ),
    ]


def _starts(stage: Stage) -> dict[str, tuple[int, float]]:
    """Return process id and start time of each service process."""
    pids = state.running_stack(stage.paths)["pids"]
    return {name: (pids[name], psutil.Process(pids[name]).create_time()) for name in process_names()}


async def _upload(
    stage: Stage, client: httpx.AsyncClient, found: Verification, failed: list[str], began: float
) -> None:
    branch = stage.branch("rollout")
    headers = stage.headers("helper", branch)
    pictures = await asyncio.to_thread(Pictures)

    async def once(due: float) -> None:
        body, content_type = multipart(pictures.photo(), branch)
        try:
            answer = await client.post(
                "/tasks", content=body, headers={**headers, "Content-Type": content_type}
            )
        except httpx.HTTPError as error:
            failed.append(f"{type(error).__name__} {error}")
            return
        if answer.status_code == 201:
            found.series.uploads.append((due - began, time.monotonic() - due))
        else:
            failed.append(f"{answer.status_code} {answer.text[:150]}")

    async with asyncio.TaskGroup() as uploads:
        due = time.monotonic()
        while True:
            # However late this loop comes to it, an upload counts from when it was due.
            uploads.create_task(once(due))
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _ask_for_refit(stage: Stage) -> str:
    """Start a refit, which cannot have as many examples as are demanded now; returns why it failed."""
    headers = stage.headers("operator")
    async with stage.client("mlops") as client:
        answer = await client.post("/training-runs", json={"kind": "refit"}, headers=headers)
        if answer.status_code not in (200, 201, 202):
            return answer.text
        run = answer.json()["id"]
        deadline = time.monotonic() + RUN_S
        while time.monotonic() < deadline:
            status = (await client.get(f"/training-runs/{run}", headers=headers)).json()
            if status["status"] in ("failed", "succeeded", "cancelled"):
                return str(status["error"])
            await asyncio.sleep(0.25)
    return "the run did not end"
