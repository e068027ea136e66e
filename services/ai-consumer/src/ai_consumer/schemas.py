"""The bodies of HTTP answers."""

from datetime import datetime

from pydantic import BaseModel


class ServedModel(BaseModel):
    """The model in service in this replica."""

    version: str
    sha256: str
    labels: list[str]
    threshold: float
    since: datetime
