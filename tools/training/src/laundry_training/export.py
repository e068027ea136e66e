"""Exports the trained network to the served file."""

# mypy: disable-error-code="misc,no-any-return,no-untyped-call,import-not-found"

from __future__ import annotations

import json
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn

from laundry_reading.preprocess import PREPROCESS_VERSION
from laundry_training.network import LaundryNet


class Served(nn.Module):
    """Bytes in, probabilities out: view, scaling, mirror image and temperature are inside."""

    def __init__(self, net: LaundryNet, temperature: float, *, view: int, mirror: bool) -> None:
        super().__init__()
        self.net = net
        self.view = view
        self.temperature = temperature
        self.mirror = mirror

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        x = middle(image.permute(0, 3, 1, 2), self.view).float()
        if self.mirror:
            # One batch of both, not two passes: the weights are in the file once.
            both = self.net.features(torch.cat([x, x.flip(3)]))
            features = both.reshape(2, -1, both.shape[1]).mean(0)
        else:
            features = self.net.features(x)
        return torch.softmax(self.net.head(features) / self.temperature, dim=1), features


def middle(x: Tensor, view: int) -> Tensor:
    """The middle of photos [n, c, s, s], [n, c, view, view].

    Random framing in training shows garments larger than they are in a whole photo. Reading a little
    larger and without the rim makes up for that at no cost (Touvron et al. 2019).
    """
    rim = (x.shape[-1] - view) // 2
    return x[:, :, rim : rim + view, rim : rim + view]


def export(
    net: LaundryNet, *, size: int, view: int, temperature: float, mirror: bool = True
) -> onnx.ModelProto:
    """The network as ONNX with a free batch size: `image` uint8 [n, s, s, 3] to `probs` and `features`.

    It sees the ``view`` pixels in the middle of the ``size`` that are read.
    """
    served = Served(net.eval(), temperature, view=view, mirror=mirror).eval()
    program = torch.onnx.export(
        served,
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        dynamo=True,
        input_names=["image"],
        output_names=["probs", "features"],
        dynamic_shapes={"image": {0: torch.export.Dim("n", min=1, max=1024)}},
        opset_version=18,
        verbose=False,
    )
    return program.model_proto


def seal(
    model: onnx.ModelProto,
    *,
    version: str,
    labels: Sequence[str],
    threshold: float,
    temperature: float,
    several_threshold: float = 1.0,
) -> bytes:
    """The file's bytes, with the metadata that the reader checks and without the exporter's notes."""
    onnx.helper.set_model_props(
        model,
        {
            "version": version,
            "labels": json.dumps(list(labels)),
            "threshold": repr(threshold),
            "several_threshold": repr(several_threshold),
            "temperature": repr(temperature),
            "preprocess_version": PREPROCESS_VERSION,
        },
    )
    graph = model.graph
    for noted in [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        noted.doc_string = ""
        del noted.metadata_props[:]
    del graph.metadata_props[:]
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
