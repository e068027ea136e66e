"""S3 as a native process: rclone serving a folder."""

import secrets
import shutil
import signal
import sysconfig
from pathlib import Path

from laundry_servers.addresses import ObjectStoreAddress
from laundry_servers.errors import LaundryError
from laundry_servers.ports import free_port, is_open
from laundry_servers.process import Process, base_environment, start_all

START_SECONDS = 30.0


class ObjectStore:
    """Buckets are the folders in ``folder``/data; they survive a restart."""

    def __init__(self, folder: Path, *, access_key: str | None = None, secret_key: str | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.access_key = access_key or secrets.token_hex(10).upper()
        self.secret_key = secret_key or secrets.token_hex(20)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        environment = base_environment()
        environment |= keys_taken((self.access_key, self.secret_key))
        environment["RCLONE_CONFIG"] = "/dev/null"
        self.process = Process(
            name="s3",
            command=[
                rclone(),
                "serve",
                "s3",
                "--addr",
                f"127.0.0.1:{self.port}",
                "--no-cleanup",
                "--dir-cache-time",
                "1s",
                # rclone would hash every object on each write and read (1.1 and 1.6 ms for a photo);
                # whoever reads a photo or a model compares its sha256 anyway.
                "--ignore-checksum",
                "--no-checksum",
                "--etag-hash",
                "",
                # Useless in front of a local disk, and 28 MB.
                "--buffer-size",
                "0",
                str(folder / "data"),
            ],
            environment=environment,
            port=self.port,
            log_file=folder / "log" / "s3.log",
            ready=lambda: is_open(self.port),
            # SIGTERM would wait for clients to close their connections.
            stop_signal=signal.SIGKILL,
        )
        self.processes = [self.process]

    @property
    def address(self) -> ObjectStoreAddress:
        """Where it is reached."""
        return ObjectStoreAddress(f"http://127.0.0.1:{self.port}", self.access_key, self.secret_key)

    def start(self, seconds: float = START_SECONDS) -> ObjectStoreAddress:
        """Start and wait until it accepts connections."""
        start_all(self.processes, seconds)
        return self.address

    def prepare(self) -> None:
        """Do nothing: rclone comes with this package."""

    def stop(self) -> None:
        """Stop at once; every object that was confirmed stays in the folder."""
        self.process.stop()

    def make_bucket(self, name: str) -> None:
        """Make a bucket if it is not there."""
        (self.folder / "data" / name).mkdir(exist_ok=True)


def keys_taken(*pairs: tuple[str, str]) -> dict[str, str]:
    """Return the setting by which these pairs of access and secret key are taken.

    By the environment, since a command line is readable by every user of the machine.
    """
    return {"RCLONE_AUTH_KEY": ",".join(f'"{access},{secret}"' for access, secret in pairs)}


def rclone() -> str:
    """Return the path of the rclone program. Raises LaundryError when it is not installed."""
    path = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    if path is None:
        raise LaundryError("The program rclone is missing. Run: make setup")
    return path
