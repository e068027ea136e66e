"""docs/telemetry.md is true: its examples run, and each word that it explains can be answered."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from monitoring.equipment_metrics import METRICS
from monitoring.settings import Settings
from monitoring.telemetry import parse

GUIDE = (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text()
SAMPLE, ANSWER = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL))


def test_every_metric_is_named() -> None:
    row = next(line for line in GUIDE.splitlines() if line.startswith("| `metrics`"))
    assert set(re.findall(r"`([a-z_0-9]+)`", row)) - {"metrics"} == set(METRICS)


def test_the_figures_are_those_of_the_settings() -> None:
    fields = Settings.model_fields
    assert fields["device_rate"].default == 20 and "20 samples a second" in GUIDE
    assert fields["device_burst"].default == 1000 and "1,000 at once" in GUIDE
    assert fields["late_settle_s"].default == 5 and "when 5 s brought nothing" in GUIDE
    assert fields["open_faults_most"].default == fields["rings_most"].default == 8
    assert fields["ring_every_s"].default == 300 and fields["flap_quiet_s"].default == 60
    assert fields["flap_quiet_most_s"].default == 3600 and fields["device_dead_letters_h"].default == 20


@pytest.mark.servers
async def test_the_examples_are_answered_as_they_say(world: Any, service: Any, a_sample: Any) -> None:
    [example] = SAMPLE["samples"]
    taken = await service.post({**example, "recorded_at": a_sample()["recorded_at"]})
    assert taken.status_code == 202
    assert taken.json() == {"accepted": 1, "duplicate": 0, "ignored": 0, "refused": [], "problems": []}
    [event] = await world.events()
    assert (event["equipment_id"], event["fault_code"]) == ("washer-7", "E21")

    token = world.token("device", "b1", sub="washer-1")
    cold = a_sample(at=-1, metrics={"temperature_celsius": -127})
    told = (await service.post(a_sample(at=-2), a_sample(branch_id="b2"), cold, token=token)).json()
    assert {name: told[name] for name in ("accepted", "duplicate", "ignored")} == {
        name: ANSWER[name] for name in ("accepted", "duplicate", "ignored")
    }
    for part in ("refused", "problems"):
        assert [(p["index"], p["code"]) for p in told[part]] == [
            (p["index"], p["code"]) for p in ANSWER[part]
        ]


@pytest.mark.servers
async def test_each_word_that_it_explains_is_answered(world: Any, service: Any, a_sample: Any) -> None:
    said: set[str] = set()
    for sample in (
        a_sample(at=-20),
        a_sample(at=-30),
        a_sample(at=-30),
        a_sample(at=-40, fault_code="E1"),
        a_sample(at=3600, fault_code="E1"),
        a_sample("washer-2", at=-26 * 3600, fault_code="E1"),
        a_sample(fault_code="E1", recorded_at="20261128"),
        a_sample(fault_code="E 1"),
        a_sample(fault_code="E1", kind=""),
        a_sample(at=1, metrics={"temperature_celsius": 900, "warmth_k": 1}),
        a_sample(at=2, metrics={"temperature_celsius": "hot"}),
        a_sample(at=3, metrics=[1]),
        a_sample(at=4, metrics={f"m{n}_s": 1 for n in range(40)}),
        a_sample(at=5, recorded_at="20261128"),
    ):
        answer = (await service.post(a_sample("dryer-1", at=len(said)), sample)).json()
        said |= {problem["code"] for problem in [*answer["problems"], *answer["refused"]]}
    explained = {
        word
        for row in GUIDE.split("`problems[].code`")[1].split("\n## ")[0].splitlines()
        for word in re.findall(r"`([a-z]+(?:-[a-z]+)+|late|duplicate|busy)`", row)
    }
    assert said <= explained
    assert explained - said == {"equipment-forbidden", "branch-forbidden", "busy"}


def test_the_sample_of_the_guide_is_read_without_a_word() -> None:
    from datetime import UTC, datetime

    parsed = parse(json.dumps(SAMPLE).encode(), METRICS, now=datetime(2026, 11, 28, 9, 31, tzinfo=UTC))
    assert not parsed.problems and not parsed.refused
