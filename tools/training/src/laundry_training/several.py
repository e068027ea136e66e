"""Whether a photo shows more than one garment: a small layer beside the last one.

Fitted to composed pictures (``laundry_training.compose``) and to photos and pictures of one garment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from laundry_training.auxiliary_heads import Floats, Layer, activations_of, fit_layer
from laundry_training.piles import Piles

EPOCHS = 30
FALSE_ALARMS = 0.02
"""Share of photos of one garment that may be called several."""


def fit_several(model: onnx.ModelProto, photos: Floats, piles: Sequence[Piles]) -> Layer:
    """Fit the layer to what ``model`` sees of ``photos`` of one thing each, [n, 2 d], and of ``piles``."""
    inputs, several = [photos], [np.zeros(len(photos), dtype=bool)]
    for pile in piles:
        inputs.append(activations_of(model, pile.composed.pixels).inputs)
        several.append(np.full(len(inputs[-1]), pile.several))
    return fit_layer(np.concatenate(inputs), np.concatenate(several), epochs=EPOCHS)


def choose_several_threshold(chances: Floats, false_alarms: float = FALSE_ALARMS) -> float:
    """The chance above which no more than ``false_alarms`` of these photos of one garment would be called
    several.
    """
    return float(np.quantile(chances, 1 - false_alarms))
