"""What a model sees of a photo before its last layer."""

from dataclasses import dataclass

import numpy as np

from laundry_learning.head import Floats


@dataclass(frozen=True)
class PhotoFeatures:
    """Features as bytes of float16, and the picture's hash (``near_duplicates``)."""

    features: bytes
    picture_hash: bytes

    def array(self) -> Floats:
        """Return the features as numbers [d]."""
        return np.frombuffer(self.features, dtype=np.float16).astype(np.float64)
