"""What a model sees of a photo before its last layer."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from laundry_learning.head import Floats


@dataclass(frozen=True)
class PhotoFeatures:
    """Features as bytes of float16, and the picture's hash (``near_duplicates``)."""

    features: bytes
    picture_hash: bytes

    def array(self) -> Floats:
        """Return the features as numbers [d]."""
        return np.frombuffer(self.features, dtype=np.float16).astype(np.float64)


@dataclass(frozen=True)
class SeenPhoto:
    """All that a model says of a photo but its classes, which follow from the features.

    ``known`` and ``several`` are the chances 0..1 that it shows any of the classes, and several garments.
    """

    photo: PhotoFeatures
    known: float
    several: float


class PhotoReader(Protocol):
    """Decodes photos and runs a model on them, in another process (``sandbox.client.SandboxClient``)."""

    async def features(self, photo: bytes) -> PhotoFeatures:
        """Return what the model sees of a photo. Raises sandbox.client.Unreadable."""

    async def everything(self, photo: bytes) -> SeenPhoto:
        """Return all that the model says of a photo. Raises sandbox.client.Unreadable."""

    async def pixels(self, photo: bytes, edge: int) -> npt.NDArray[np.uint8]:
        """Return a photo as a square [edge, edge, 3]. Raises sandbox.client.Unreadable."""
