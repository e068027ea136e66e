"""Rows that earlier versions wrote are read, and shown by HTTP, byte for byte as those versions did."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from laundry_learning.judging import Check, Verdict
from mlops.examples import LabelCount
from mlops.models import Judgement
from mlops.repository.examples import EXAMPLE, USE
from mlops.repository.models import MODEL
from mlops.repository.runs import QUALITY, RUN
from mlops.schemas import example_body, model_body, owner_body, run_body

AT = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
SHA256 = "a" * 64
CHECKS = (
    '[{"name":"classes","passed":true,"text":"no class is significantly worse","figures":{}},'
    '{"name":"own gain","passed":true,"text":"2 right","figures":{"right":2,"champion_right":1,"photos":3,'
    '"log_loss_change":-0.25,"branches":{"b1":[1,0]}}}]'
)
REASONS = '["no class is significantly worse","2 right","promoted: every check passed"]'


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("null", "null"),
        ('{"promoted":false,"reasons":["x"]}', '{"promoted":false,"reasons":["x"],"checks":[]}'),
        (
            f'{{"promoted":true,"reasons":{REASONS},"checks":{CHECKS}}}',
            f'{{"promoted":true,"reasons":{REASONS},"checks":{CHECKS}}}',
        ),
    ],
    ids=["not decided", "without checks", "with checks"],
)
def test_a_run_is_shown_as_it_was(stored: str, shown: str) -> None:
    row = {
        "id": "r1", "kind": "refit", "status": "succeeded", "progress": 1.0, "model_version": "m2",
        "decision": json.loads(stored), "error": None, "requested_by": "op", "attempts": 1, "care": None,
        "created_at": AT, "started_at": AT, "finished_at": AT,
    }  # fmt: skip
    assert run_body(RUN.validate_python(row)).model_dump_json() == (
        '{"id":"r1","kind":"refit","status":"succeeded","progress":1.0,"model_version":"m2",'
        f'"decision":{shown},"error":null,"requested_by":"op","attempts":1,'
        '"created_at":"2026-05-01T12:30:00Z","started_at":"2026-05-01T12:30:00Z",'
        '"finished_at":"2026-05-01T12:30:00Z"}'
    )


def test_a_model_is_shown_as_it_was() -> None:
    row = {
        "id": "i1", "version": "m2", "sha256": SHA256, "source": "refit", "run_id": "r1", "champion": True,
        "made_at": AT, "created_at": AT,
        "manifest": {
            "version": "m2", "file": "laundry-m2.onnx", "sha256": SHA256, "file_bytes": 9,
            "labels": ["hat", "shoes"], "input_size": 96, "preprocess_version": "p1", "threshold": 0.8,
            "metrics": {"top1": 0.9, "confusion": [[1, 0], [0, 1]]},
            "lineage": {"kind": "refit", "pull_towards_first": 16.0},
            "held_out": {"version": "m1", "file": "x.held-out.npz", "sha256": "b" * 64},
            "created_at": "2026-05-01T12:30:00Z",
        },
        "verdict": json.loads(f'{{"good":true,"against":"m1","reasons":{REASONS},"checks":{CHECKS}}}'),
    }  # fmt: skip
    model = MODEL.validate_python(row)
    assert model_body(model).model_dump_json() == (
        f'{{"version":"m2","champion":true,"labels":["hat","shoes"],"sha256":"{SHA256}",'
        '"metrics":{"top1":0.9,"confusion":[[1,0],[0,1]]},"lineage":{"kind":"refit","pull_towards_first":16.0},'
        f'"source":"refit","verdict":{{"good":true,"against":"m1","reasons":{REASONS},"checks":{CHECKS}}},'
        '"created_at":"2026-05-01T12:30:00Z"}'
    )
    # What the manifest says of files beside the model is kept when it is written again.
    assert model.manifest.model_dump(mode="json") == row["manifest"]


def example_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "e1", "task_id": "t1", "task_version": 2, "event_id": "v1", "branch_id": "b1",
        "photo_key": "photos/1", "photo_sha256": SHA256, "photo_bytes": 5, "photo_media_type": "image/jpeg",
        "read_labels": [{"label": "hat", "confidence": 0.5, "count": 1}], "model_version": "m1",
        "labels": [{"label": "shoes", "count": 2}], "corrected": True, "confirmed_by": "o1",
        "confirmed_at": AT, "created_at": AT, "side": "learning",
    } | changes  # fmt: skip


def test_an_example_is_shown_as_it_was() -> None:
    use = USE.validate_python(
        {"example_id": "e1", "run_id": "r1", "role": "left out", "reason": "photo missing"}
    )
    start = (
        f'{{"id":"e1","task_id":"t1","branch_id":"b1","side":"learning","photo_sha256":"{SHA256}",'
        '"read_labels":[{"label":"hat","confidence":0.5,"count":1}],"model_version":"m1",'
        '"labels":[{"label":"shoes","count":2}],"corrected":true,"confirmed_by":"o1",'
        '"confirmed_at":"2026-05-01T12:30:00Z",'
    )
    example = EXAMPLE.validate_python(example_row())
    told = '"run_id":"r1","role":"left out","reason":"photo missing"}'
    assert example_body(example, use).model_dump_json() == start + told
    assert example_body(example, None).model_dump_json() == start + '"run_id":null,"role":null,"reason":null}'
    # Labels were not counted at first.
    uncounted = EXAMPLE.validate_python(example_row(read_labels=[{"label": "hat", "confidence": 0.5}]))
    assert uncounted == example


def test_how_a_person_labels_is_shown_as_a_run_found_it() -> None:
    kept = {"o1": {"labels": 4, "corrections": 2, "contradicted": 1, "contrary": 0, "careless": False}}
    quality = QUALITY.validate_python(kept)
    assert owner_body(LabelCount("o1", 9, 3), quality["o1"]).model_dump_json() == (
        '{"confirmed_by":"o1","labels":9,"corrected":3,"new_labels":4,"corrections":2,"contradicted":1,'
        '"contrary":0,"careless":false}'
    )
    assert owner_body(LabelCount("o2", 9, 3), None).model_dump_json() == (
        '{"confirmed_by":"o2","labels":9,"corrected":3,"new_labels":null,"corrections":null,'
        '"contradicted":null,"contrary":null,"careless":null}'
    )


def test_a_verdict_is_stored_as_it_was() -> None:
    verdict = Verdict(tuple(Check.model_validate(each) for each in json.loads(CHECKS)))
    judgement = Judgement(
        good=verdict.good, against="m1", reasons=verdict.reasons, checks=list(verdict.checks)
    )
    assert judgement.model_dump_json() == (
        f'{{"good":true,"against":"m1","reasons":{REASONS},"checks":{CHECKS}}}'
    )
