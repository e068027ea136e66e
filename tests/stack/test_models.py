"""A new model reaches every replica, and no other service notices (DD-02 DG-03)."""

from typing import Any

import psutil
import pytest

from laundry.demo.client import People, Services
from laundry.files import read_json
from laundry.learn.photos import drawn
from laundry.learn.story import Learning
from laundry.paths import StackPaths

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]

OTHERS = ("helper", "notification", "notification-faults", "search", "monitoring", "web")


def lives(folder: Any) -> dict[str, tuple[int, float]]:
    """Process ids with their starts: neither is ever the same for another life."""
    document = read_json(StackPaths(folder).stack_file)
    assert document is not None
    return {
        name: (pid, psutil.Process(pid).create_time())
        for name, pid in document["pids"].items()
        if name in OTHERS
    }


async def test_a_model_is_learnt_served_by_all_and_taken_back_without_anybody_else(
    services: Services, people: People, stack: dict[str, Any], stack_folder: Any
) -> None:
    before = lives(stack_folder)
    assert set(before) == set(OTHERS)
    story = Learning(services, people, StackPaths(stack_folder), ["1"])
    champion = (await story.champion())["version"]
    shots = drawn()[::3]
    tasks = await story.read(shots, None, lambda _: None)
    await story.confirm(tasks, [shot.label for shot in shots], story.owner, lambda _: None)
    run, _ = await story.retrain(lambda _: None)
    assert run["model_version"], run
    log = await services.json("GET", "mlops", f"/training-runs/{run['id']}/log", who=story.operator)
    assert len(log["items"]) > 3
    if not run["decision"]["promoted"]:
        path = f"/models/{run['model_version']}/promotion"
        reason = {"override_reason": "drawn photos say little; this is a rehearsal"}
        await services.json("POST", "mlops", path, who=story.operator, json=reason)
    assert (await story.served_by_all(run["model_version"]))[0] == 3
    (read,) = await story.read(shots[:1], story.after, lambda _: None)
    assert read["reading"]["model_version"] == run["model_version"]
    assert await story.roll_back() == champion
    assert lives(stack_folder) == before
