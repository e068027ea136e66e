"""Paths of everything a running stack writes."""

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[4]


@dataclass(frozen=True, slots=True)
class StackPaths:
    """The folder of one stack; two checkouts have two."""

    var: Path

    @property
    def stack_file(self) -> Path:
        """Where clients, tests and benchmarks find the running stack."""
        return self.var / "stack.json"

    @property
    def processes_file(self) -> Path:
        """The supervisor's own notes: process ids with start times."""
        return self.var / "run" / "processes.json"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.var / "run" / "supervisor.lock"

    @property
    def changes_file(self) -> Path:
        """Settings that a person changed on the running stack, by process."""
        return self.var / "run" / "changes.json"

    @property
    def secrets_file(self) -> Path:
        """Passwords made for this stack."""
        return self.var / "secrets.json"

    @property
    def identity(self) -> Path:
        """The local identity's key."""
        return self.var / "identity"

    def broker_data(self, nodes: int) -> Path:
        """Data of the broker; that of a cluster of another size cannot be used."""
        return self.data / f"rabbitmq-{nodes}"

    @property
    def tls(self) -> Path:
        """The local certificate authority with what it issued."""
        return self.var / "tls"

    @property
    def mail(self) -> Path:
        """Mails that the identity service would send."""
        return self.data / "mail"

    @property
    def telemetry(self) -> Path:
        """Which processes leave out the details of their traces: a file each."""
        return self.var / "telemetry"

    @property
    def logs(self) -> Path:
        """Logs of the services and the supervisor."""
        return self.var / "log"

    @property
    def backups(self) -> Path:
        """Backups, unless they are kept elsewhere; they survive ``laundry down --wipe``."""
        return self.var / "backups"

    @property
    def restored_file(self) -> Path:
        """What came back when the stack was last started from a backup."""
        return self.var / "run" / "restored.json"

    @property
    def data(self) -> Path:
        """Data of the servers; it survives a restart."""
        return self.var / "data"


def stack_paths() -> StackPaths:
    """Return this checkout's stack, or the one that LAUNDRY_VAR_DIR names."""
    return StackPaths(Path(os.environ.get("LAUNDRY_VAR_DIR") or PROJECT / "var").resolve())
