"""Run by the interpreter that has torch: the shipped weights, and a fine-tuning that is broken off."""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from laundry_learning.artifacts import artifact_of
from laundry_learning.fine_tuning.recipe import Recipe
from laundry_learning.weights import BrokenWeights, unpack
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model, session_options
from laundry_training.auxiliary_heads import HIDDEN, fit_layer
from laundry_training.publish import NothingTrained, compute_logits, take_weights
from laundry_training.refine import Material, load_network, refine

models, work = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
manifest = Manifest.from_json((models / "manifest.json").read_bytes())
entry = artifact_of(manifest, "weights")
assert entry is not None
state = unpack((models / entry.file).read_bytes())

# The weights are the served network's, but for its eight bits.
model = Model.load(models / manifest.file, sha256=manifest.sha256)
random = np.random.default_rng(0)
size = manifest.input_size
waves = np.sin(np.linspace(0, 9, size) * random.uniform(0.2, 2, (16, 1, 1, 3, 1)))[:, 0].transpose(0, 1, 3, 2)
pixels = (127 + 110 * waves * waves.transpose(0, 2, 1, 3)).clip(0, 255).astype(np.uint8)
logits = compute_logits(load_network(state), pixels, int(manifest.lineage["view_size"]))
warm = np.exp(logits / manifest.metrics["temperature"])
gap = np.abs(warm / warm.sum(axis=1, keepdims=True) - model.predict(pixels)[0]).mean()
assert gap < 0.05, gap  # 0.002 on photos; these pictures are none

try:
    load_network({"trunk.0.weight": state["trunk.0.weight"]})
    raise AssertionError("half a network was taken")
except BrokenWeights:
    pass

material = Material(pixels, np.arange(16, dtype=np.int64) % 10, np.ones(4))
recipe = Recipe(epochs=2, rate=1e-3, view=64, batch=8)
said: list[str] = []


class BrokenOff(Exception):
    pass


def break_off(done: float, note: str | None) -> None:
    if note:
        raise BrokenOff(note)


try:
    refine(load_network(state), material, recipe, checkpoint=work / "c.pt", report=break_off)
    raise AssertionError("it was not broken off")
except BrokenOff as error:
    said.append(str(error))
before, begun = load_network(state), load_network(state)
tuned = refine(
    begun,
    material,
    recipe,
    checkpoint=work / "c.pt",
    report=lambda _, note: said.append(note) if note else None,
)
assert said[0].startswith("epoch 1 of 2"), said
assert said[1] == "going on after epoch 1 of 2", said
assert said[2].startswith("epoch 2 of 2"), said
was, now = before.state_dict(), tuned.state_dict()
assert all(torch.isfinite(value).all() for value in now.values() if value.is_floating_point())
assert not torch.equal(was["trunk.12.body.0.weight"], now["trunk.12.body.0.weight"])
for name in was:
    if "running" in name:
        assert torch.allclose(was[name], now[name]), name
# A layer beside the last one finds what is so, its weights count, and its mean of seeds is one layer.
inputs = np.concatenate([random.normal(1, 0.5, (300, 6)), random.normal(-1, 0.5, (60, 6))])
truth = np.arange(360) < 300
layer = fit_layer(inputs, truth, seeds=(1, 2), epochs=60)
assert layer.first.shape == (6, 2 * HIDDEN), layer.first.shape
assert ((layer.chance(inputs) > 0.5) == truth).mean() > 0.97
doubtful = fit_layer(inputs, truth, np.where(truth, 1.0, 50.0), epochs=60)
between = random.normal(0, 0.5, (200, 6))
assert doubtful.chance(between).mean() < layer.chance(between).mean()
for same in (truth | True, truth & False):
    try:
        fit_layer(inputs, same)
        raise AssertionError("one kind of photo was enough")
    except ValueError:
        pass

# Whoever finishes the network of a weights file gets that network, and no other's manifest is taken.
plain, facts = take_weights(models / entry.file, size=size, work=work, run="again")
assert {"arithmetic", "rounding_gap"}.isdisjoint(facts), facts
assert facts["parameters"] == manifest.lineage["parameters"], facts
session = onnxruntime.InferenceSession(plain.SerializeToString(), session_options())
np.testing.assert_allclose(session.run(["probs"], {"image": pixels})[0].argmax(1), logits.argmax(1))
shutil.copy(models / entry.file, work)
(work / "manifest.json").write_text(manifest.to_json().replace(entry.sha256, "0" * 64))
for foreign in (work / entry.file, work / "none.npz"):
    try:
        take_weights(foreign, size=size, work=work, run="x")
        raise AssertionError("foreign weights were taken")
    except NothingTrained:
        pass
print("fine")
