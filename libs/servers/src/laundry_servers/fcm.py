"""The local FCM and push service as a process of their own, together with the local identity's JWKS."""

import sys
from pathlib import Path

import httpx

from laundry_servers.addresses import PushAddress
from laundry_servers.forking import Forks
from laundry_servers.local_http import local_http
from laundry_servers.ports import free_port
from laundry_servers.process import Process, base_environment, start_all

START_SECONDS = 30.0
PROJECT_ID = "laundry-local"


class Fcm:
    """Answers like FCM HTTP v1 and keeps accepted messages for ``GET /messages``."""

    def __init__(self, folder: Path, *, identity_folder: Path, forked_by: Forks | None = None) -> None:
        self.port = free_port()
        environment = base_environment()
        environment["LAUNDRY_PORT"] = str(self.port)
        environment["LAUNDRY_IDENTITY_DIR"] = str(identity_folder)
        self.process = Process(
            name="fcm",
            command=[sys.executable, "-m", "laundry_servers.fcm_app"],
            environment=environment,
            port=self.port,
            log_file=folder / "log" / "fcm.log",
            ready=self._answers,
            stop_seconds=5,
            forked_by=forked_by,
            health_url=f"http://127.0.0.1:{self.port}/livez",
        )
        self.processes = [self.process]

    @property
    def address(self) -> PushAddress:
        """Where it is reached."""
        return PushAddress(f"http://127.0.0.1:{self.port}")

    @property
    def push_service_url(self) -> str:
        """The origin of the local push service of browsers."""
        return self.address.url

    @property
    def jwks_url(self) -> str:
        """Where the local identity's keys are."""
        return f"{self.address.url}/.well-known/jwks.json"

    @property
    def deny_list_url(self) -> str:
        """Where the local identity says who is cut off."""
        return f"{self.address.url}/.well-known/denied.json"

    def start(self, seconds: float = START_SECONDS) -> PushAddress:
        """Start and wait until it answers."""
        start_all(self.processes, seconds)
        return self.address

    def prepare(self) -> None:
        """Do nothing: it keeps everything in memory."""

    def stop(self) -> None:
        """Stop it; what it took is forgotten."""
        self.process.stop()

    def _answers(self) -> bool:
        try:
            return local_http().get(f"{self.address.url}/livez", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False
