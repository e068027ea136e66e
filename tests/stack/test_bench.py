"""The baselines that measurements are compared with do real work too."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from laundry.management import target
from laundry.paths import StackPaths
from laundry.stack import state
from laundry_lab.bench import alerts, bare_clients, upload_stages
from laundry_lab.bench.pictures import SMALL, Pictures
from laundry_lab.bench.stage import Stage
from laundry_servers.identity import LocalIdentity

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]


async def test_bare_clients_read_every_photo_and_leave_nothing_behind(
    stack: dict[str, Any], stack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(stack_folder))
    paths = StackPaths(stack_folder)
    broker = target()
    stage = Stage(paths, stack, LocalIdentity(paths.identity), lambda _, __: lambda ___: None, broker, 0.1)

    def vhosts() -> set[str]:
        with broker.client() as client:
            return {each["name"] for each in client.get("/api/vhosts").raise_for_status().json()}

    before = await asyncio.to_thread(vhosts)
    # Forty photos, each stored exactly once, or it would wait for the last one until it times out.
    rate = await bare_clients.measure(stage, await asyncio.to_thread(Pictures, SMALL), 1, 400)
    assert rate > 1
    assert await asyncio.to_thread(vhosts) == before


async def test_how_soon_a_fault_reaches_phones_and_browsers_is_measured(
    stack: dict[str, Any], stack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(stack_folder))
    paths = StackPaths(stack_folder)
    stage = Stage(paths, stack, LocalIdentity(paths.identity), lambda _, __: lambda ___: None, target(), 0.1)
    # Whether the promise is kept is for a machine with nothing else to do to say.
    monkeypatch.setattr(alerts, "PUSH_DEADLINE_S", 60.0)
    found = await alerts.measure(stage)
    assert {each.group for each in found} == {alerts.GROUP, alerts.BROWSERS_GROUP}
    assert all(0 < each.value < alerts.PUSH_DEADLINE_S * 1000 for each in found)


@pytest.mark.usefixtures("stack")
async def test_an_uploads_processor_time_is_told_by_stage_and_the_stack_goes_on(
    stack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(stack_folder))
    paths = StackPaths(stack_folder)
    # Others may have restarted the helper, which is another process then.
    now = state.running_stack(paths)
    stage = Stage(paths, now, LocalIdentity(paths.identity), lambda _, __: lambda ___: None, target(), 0.1)
    found = {(each.group, each.name): each.value for each in await upload_stages.measure(stage)}
    by_stage = {name: ms for (group, name), ms in found.items() if group == upload_stages.HELPER}
    # Few uploads: a stage that takes little may not have been seen.
    assert "HTTP: server, routes, answer" in by_stage
    whole = by_stage.pop("all")
    assert 0 < sum(by_stage.values()) <= whole + upload_stages.LEAST_MS * 9
    assert found[upload_stages.OTHERS, "all"] > 0
    # What stood still meanwhile reads what came.
    assert await stage.until_empty("task.submitted", within_s=60)
