"""What the manifest of a trained model tells of its training, as the model card reads it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from laundry_reading.manifest import Manifest


class TrainingLineage(BaseModel):
    """How a model was trained.

    Attributes:
        view_size: edge of the middle that the network sees, pixels; ``parameters``: how many it has.
        training_photos: photos learnt from; ``training_known``: those of them that show a class.
        minutes, threads: how long it took, on so many cores.
        network_of: version of the model whose network this is, if only what surrounds it was fitted again.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    view_size: int
    network: str
    parameters: int
    arithmetic: str
    training_photos: int
    training_known: int
    teacher: str
    teacher_sha256: str
    epochs: int
    minutes: float
    threads: int
    network_of: str | None = None
    remark: str = ""

    @classmethod
    def of(cls, manifest: Manifest) -> TrainingLineage:
        """Read it from a manifest.

        Raises:
            pydantic.ValidationError: the model was not trained by this package.
        """
        return cls.model_validate(manifest.lineage)
