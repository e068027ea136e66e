"""What a run brings back is a stranger's: files, models and facts that are refused, and what is taken."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from laundry_learning import weights
from laundry_learning.fine_tuning.contract import Facts, Order
from laundry_reading.manifest import Manifest
from laundry_reading.storage import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES
from laundry_testing.models import LABELS, colour_model, manifest_of
from mlops.full.comparison import read_output
from mlops.full.told import MAX_BYTES, told_by
from mlops.full.untrusted import OutputFolder, Rejected, facts_of
from mlops.full.workdir import WorkDir


def put(folder: Path, file: bytes, version: str = "v-1", **changes: Any) -> None:
    folder.mkdir(exist_ok=True)
    manifest = manifest_of(version, file)
    (folder / manifest.file).write_bytes(file)
    (folder / "manifest.json").write_text(manifest.model_copy(update=changes).to_json())
    weights.write(folder, {"head.weight": np.full((2, 2), 0.5)})


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_from_string(colour_model("v-1"))
    change(model)
    return bytes(model.SerializeToString())


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", [], ["endless"], body=body))


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def of_a_vendor(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def of_another_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 7


def with_another_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "picture"


def many_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend([helper.make_node("Identity", ["image"], [f"i{n}"]) for n in range(6000)])


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (b"not a model at all", "no ONNX file"),
        (b"", "opset 0"),
        (changed(loop), "operator Loop"),
        (changed(outside), "another file"),
        (changed(of_a_vendor), "com.microsoft"),
        (changed(of_another_opset), "opset 7"),
        (changed(with_another_input), "must take `image`"),
        (changed(many_nodes), "nodes"),
        (changed(lambda model: model.metadata_props.pop()), "missing or broken|preprocess"),
        (colour_model("v-2"), "another version"),
        (colour_model("v-1", labels=("shoes", "pants", "t-shirt")), "another version, classes"),
    ],
)
def test_a_model_that_no_run_may_bring_is_refused_with_the_reason(
    tmp_path: Path, file: bytes, told: str
) -> None:
    manifest = manifest_of("v-1", file or b"x").model_copy(update={"file_bytes": len(file)})
    with pytest.raises(Rejected, match=told):
        facts_of(file, manifest)


def test_what_is_whole_is_taken_and_says_only_what_it_may(tmp_path: Path) -> None:
    file = colour_model("v-1")
    put(tmp_path / "out", file)
    path = tmp_path / "out" / "manifest.json"
    said = json.loads(path.read_text())
    said |= {
        "dsse": {"payload": "x"},
        "held_out": said["weights"],
        "lineage": {"first_version": "another", "kind": "full"},
    }
    path.write_text(json.dumps(said))
    manifest, model, facts, beside = read_output(OutputFolder(tmp_path / "out"), "v-1")
    assert (model, facts.labels, facts.input_size) == (file, LABELS, 32)
    assert list(beside) == [f"models/v-1/{said['weights']['file']}"]
    assert set(manifest.model_extra or {}) == {"weights"}
    assert manifest.lineage == {"kind": "full"}


def said_also(out: Path, **said: Any) -> Path:
    path = out / "manifest.json"
    told = json.loads(path.read_text())
    for field, values in said.items():
        told[field] |= values
    path.write_text(json.dumps(told))
    return path


def test_of_a_manifest_only_figures_and_facts_that_are_known_are_taken(tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(out, colour_model("v-1"))
    figures = {"top1": 0.9, "other_reviewed": None, "photos": 603, "confusion": [[1, 0], [0, 1]]}
    classes = [{"label": "hat", "photos": 1, "recall": 0.5, "precision": None, "poem": "x"}]
    facts = {"kind": "full", "network": "colours", "view_size": 24, "examples_left_out": {"photo missing": 2}}
    said_also(
        out,
        metrics={**figures, "classes": classes, "poem": "roses are red"},
        lineage={**facts, "first_version": "another", "branches_known": 9},
    )
    manifest, *_ = read_output(OutputFolder(out), "v-1")
    del classes[0]["poem"]
    assert manifest.metrics == {**figures, "classes": classes}
    assert manifest.lineage == facts


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("lineage", "view_size", "ninety-six"),
        ("lineage", "view_size", 96.5),
        ("lineage", "view_size", True),
        ("lineage", "view_size", 3),
        ("lineage", "view_size", 4000),
        ("lineage", "training_known", -1),
        ("lineage", "training_known", 10**30),
        ("lineage", "rate", float("nan")),
        ("lineage", "network", "a\u0000b"),
        ("lineage", "network", "a" * 301),
        ("lineage", "kind", "refit"),
        ("lineage", "examples_left_out", {"photo missing": "two"}),
        ("metrics", "other_reviewed", "most"),
        ("metrics", "other_reviewed", 1.5),
        ("metrics", "log_loss", float("inf")),
        ("metrics", "classes", [{"label": "hat"}]),
        ("metrics", "confusion", [[1, "many"]]),
    ],
)
def test_figures_and_facts_of_another_kind_are_refused_by_their_names(
    tmp_path: Path, field: str, name: str, value: object
) -> None:
    out = tmp_path / "out"
    put(out, colour_model("v-1"))
    said_also(out, **{field: {name: value}})
    with pytest.raises(Rejected, match=f"{field}.{name}"):
        read_output(OutputFolder(out), "v-1")


@pytest.mark.parametrize("name", ["poem", "network"])
def test_a_manifest_that_no_replica_would_read_once_it_is_signed_is_refused(
    tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    put(out, colour_model("v-1"))
    # Below what replicas read; signing more than doubles it.
    assert said_also(out, metrics={name: "x" * 200_000}).stat().st_size < MAX_MANIFEST_BYTES
    with pytest.raises(Rejected, match="exceeds 32768 bytes"):
        read_output(OutputFolder(out), "v-1")


def a_link(out: Path) -> None:
    (out / "laundry-v-1.onnx").unlink()
    (out / "laundry-v-1.onnx").symlink_to("/proc/self/environ")


def a_hard_link(out: Path) -> None:
    secret = out.parent / "secret"
    secret.write_bytes((out / "laundry-v-1.onnx").read_bytes())
    (out / "laundry-v-1.onnx").unlink()
    os.link(secret, out / "laundry-v-1.onnx")


def a_pipe(out: Path) -> None:
    (out / "laundry-v-1.onnx").unlink()
    os.mkfifo(out / "laundry-v-1.onnx")


def huge(out: Path) -> None:
    os.truncate(out / "laundry-v-1.onnx", MAX_MODEL_BYTES + 1)


def another_hash(out: Path) -> None:
    (out / "laundry-v-1.onnx").write_bytes(colour_model("v-1", temperature=2.0))


def nothing(out: Path) -> None:
    (out / "manifest.json").unlink()


def no_manifest(out: Path) -> None:
    (out / "manifest.json").write_text('{"version": "../../champion"}')


def a_folder_elsewhere(out: Path) -> None:
    out.rename(out.with_name("moved"))
    out.symlink_to(out.with_name("moved"))


def other_weights(out: Path) -> None:
    next(out.glob("*.npz")).write_bytes(b"other")


@pytest.mark.parametrize(
    "change",
    [
        a_link,
        a_hard_link,
        a_pipe,
        huge,
        another_hash,
        nothing,
        no_manifest,
        a_folder_elsewhere,
        other_weights,
    ],
)
def test_a_file_that_is_not_what_it_seems_is_refused(tmp_path: Path, change: Callable[[Path], None]) -> None:
    out = tmp_path / "out"
    put(out, colour_model("v-1"))
    read_output(OutputFolder(out), "v-1")
    change(out)
    with pytest.raises(Rejected):
        read_output(OutputFolder(out), "v-1")
    with pytest.raises(Rejected):
        OutputFolder(out).read("../secret", most=100)


def test_a_run_is_not_talked_into_another_order(tmp_path: Path, make_order: Callable[..., Order]) -> None:
    class Settings:
        training_work = tmp_path

    workdir = WorkDir(Settings(), "1")  # type: ignore[arg-type]
    workdir.photos.mkdir(parents=True)
    first = workdir.put(make_order("20260501-120000-full"), b"weights")
    # The trainer may write here: another name, and a link where the weights were.
    make_order("../../champion").save(workdir.folder)
    (workdir.folder / "weights.npz").unlink()
    (tmp_path / "victim").write_text("whole")
    (workdir.folder / "weights.npz").symlink_to(tmp_path / "victim")
    again = workdir.put(make_order("20260501-130000-full"), b"weights")
    assert again == first
    assert Order.load(workdir.folder) == first
    assert (tmp_path / "victim").read_text() == "whole"
    workdir.close()
    assert list(tmp_path.iterdir()) == [tmp_path / "victim"]


@pytest.fixture
def make_order(tmp_path: Path) -> Callable[..., Order]:
    def make(version: str) -> Order:
        return Order(
            version=version, data=tmp_path, input_size=32, view_size=32, epochs=1, rate=0.1, threads=1,
            photos=0, corrections=[], forbidden=[], facts=Facts(
                run_id="1", base_version="m-1", base_sha256="a" * 64, started_from="m-1",
                holdout_sha256="b" * 64, epochs=1, rate=0.1, most_photos=0, examples_learnt=0,
                examples_judging=0, examples_left_out={}, examples_sha256="c" * 64,
            ),
        )  # fmt: skip

    return make


def test_the_shipped_model_is_one_that_a_run_may_bring() -> None:
    folder = Path(__file__).parents[3] / "models"
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    facts = facts_of((folder / manifest.file).read_bytes(), manifest)
    assert (facts.version, list(facts.labels)) == (manifest.version, manifest.labels)


def test_what_the_training_tells_of_the_shipped_model_is_taken_whole() -> None:
    folder = Path(__file__).parents[3] / "models"
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    assert len(manifest.to_json()) < MAX_BYTES
    told = told_by(manifest)
    assert told["metrics"] == manifest.metrics
    # A training from the beginning has a plan and a teacher, of which a full run knows nothing.
    own = {name: fact for name, fact in manifest.lineage.items() if not name.startswith("plan")}
    assert told["lineage"] == {
        name: fact for name, fact in own.items() if name not in ("remark", "network_of")
    }
