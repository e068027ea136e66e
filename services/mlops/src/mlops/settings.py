"""Settings of the MLOps service, on top of those that every service has."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from laundry_reading.signing import PublicKeyTexts, SigningKey, SigningKeyText, TrustedKeys
from laundry_service.settings import DatabaseSettings, ObjectStoreSettings


class Settings(DatabaseSettings, ObjectStoreSettings):
    """Read from ``LAUNDRY_*`` environment variables; the training job reads the same."""

    service_name: str = "mlops"
    model_dir: Path = Field(
        description="Folder of the model that ships with the code: manifest.json and file"
    )
    model_signing_key: SigningKeyText = Field(
        default=SecretStr(""), description="Ed25519 key that signs models: PEM, or the base64 of its 32 bytes"
    )
    model_public_keys: Annotated[PublicKeyTexts, NoDecode] = Field(
        default=(),
        description="As replicas have it: keys whose signatures count, the signing key's among them",
    )
    prefetch: int = Field(default=32, ge=1, description="Confirmations taken from the broker at a time")
    run_timeout_s: float = Field(default=3600, gt=0, description="A training run that takes longer is ended")
    refit_min_training: int = Field(
        default=12, ge=2, description="Fewest examples to learn from; below, a refit fails"
    )
    refit_max_examples: int = Field(default=5000, ge=2, description="Newest examples that a refit looks at")

    training_jobs: Literal["process", "kubernetes"] = Field(
        default="process",
        description="Where training runs: a process beside the service, or a Job of the cluster",
    )
    training_job_templates: Path | None = Field(
        default=None,
        description="Folder of the Jobs' templates, refit.json and full.json, for kubernetes",
    )
    training_data: Path | None = Field(
        default=None,
        description="Folder of the training photos (clothing/photos.csv); without it no full training",
    )
    training_python: Path | None = Field(
        default=None,
        description="Interpreter that has torch (tools/training/training-requirements.txt); "
        "default: the service's own",
    )
    training_work: Path | None = Field(
        default=None,
        description="Folder for a full training's checkpoints; default: in the system's temporary folder",
    )
    training_threads: int = Field(default=2, ge=1, description="Threads of a full training")
    training_epochs: int = Field(default=6, ge=1, description="Passes of a full training over its photos")
    training_rate: float = Field(default=3e-4, gt=0, description="Highest learning rate of a full training")
    training_photos: int = Field(
        default=0, ge=0, description="Use only so many of the training photos, to try it out; 0: all"
    )

    sandbox_socket: Path | None = Field(
        default=None,
        description="Where `laundry_learning.sandbox.server` starts processes for photos and the trainer, in "
        "a container beside the run's; default: the run starts them itself",
    )

    retrain_after_corrections: int = Field(
        default=200, ge=0, description="Queue a refit after so many new corrections; 0: never"
    )
    retrain_every_h: float = Field(
        default=0, ge=0, description="Queue a refit so often, in hours, if anything is new; 0: never"
    )
    retrain_on_drift: bool = Field(default=True, description="Queue a refit when what is read drifts")
    retrain_pause_h: float = Field(default=24, gt=0, description="Least hours between runs for drift")

    @model_validator(mode="after")
    def _trusts_itself(self) -> Self:
        own = SigningKey.parse(self.model_signing_key.get_secret_value()).public
        if not TrustedKeys.parse(self.model_public_keys).have(own):
            raise ValueError(
                "LAUNDRY_MODEL_PUBLIC_KEYS lacks the public half of LAUNDRY_MODEL_SIGNING_KEY, so replicas "
                f"would refuse what is signed. Add it here and to every ai-consumer: {own.text}"
            )
        return self

    def as_environment(self) -> dict[str, str]:
        """Return these settings as the environment of a training job's process."""
        prefix = str(self.model_config.get("env_prefix", ""))
        found: dict[str, str] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is None or value == field.default:
                continue
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            elif isinstance(value, dict | BaseModel) or _are_models(value):
                value = json.dumps(self.model_dump(mode="json", include={name})[name])
            elif isinstance(value, tuple):
                value = ",".join(str(each) for each in value)
            found[f"{prefix}{name.upper()}"] = str(value)
        return found


def _are_models(value: object) -> bool:
    return isinstance(value, tuple) and any(isinstance(each, BaseModel) for each in value)
