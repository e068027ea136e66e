"""One child process: started so that it cannot outlive its parent, watched, and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from laundry_servers.errors import LaundryError
from laundry_servers.forking import Forked, Forks, NotForked
from laundry_servers.programs import require_program
from laundry_service.background.priority import give_way

OWN_SETTINGS = "LAUNDRY_"
POLL_SECONDS = 0.05
# A starting server may ignore its stop signal; nothing depends on it yet.
UNREADY_STOP_SECONDS = 3.0
LOG_TAIL_LINES = 15


class ProcessFailed(LaundryError):
    """A process ended, or never became ready."""


@dataclass(slots=True)
class Process:
    """A child process with its log, its readiness check and its way of stopping.

    ``payload`` names the executable to report (and to signal) when the command is a wrapper such as bwrap
    that has the real server as its descendant.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_file: Path
    ready: Callable[[], bool]
    cwd: Path | None = None
    payload: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    before_start: Callable[[], None] | None = None
    # Read at every start: settings that a person has changed since.
    changed_environment: Callable[[], Mapping[str, str]] = dict
    # Niceness (0 to 19): gives way on few cores, as a separate node would in a cluster.
    niceness: int = 0
    port: int | None = None
    health_url: str | None = None
    metrics_url: str | None = None
    # For "python -m ...": a fork server that has its libraries. The fork server's working folder counts then.
    forked_by: Forks | None = field(default=None, repr=False)
    child: subprocess.Popen[bytes] | Forked | None = field(default=None, repr=False)
    started_at: float = 0.0
    was_ready: bool = False
    real_pid: int | None = field(default=None, repr=False)

    def spawn(self) -> None:
        """Start the command; it gets SIGKILL when this process dies, however that happens.

        Call it from a thread that lives as long as the process (the main one): the kernel sends the signal
        when the starting *thread* ends.
        """
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.before_start is not None:
            self.before_start()
        changed = self.changed_environment()
        environment = {**self.environment, **changed}
        # Others than a service's own may be read before its first line: by the loader, Python, libraries.
        forks = all(name.startswith(OWN_SETTINGS) for name in changed)
        with self.log_file.open("ab") as log:
            child = self._forked(environment, log) if forks else None
            self.child = child or self._executed(environment, log.fileno())
        if self.niceness:
            give_way(self.niceness, self.child.pid)
        self.started_at = time.time()
        self.was_ready = False
        self.real_pid = None

    def _forked(self, environment: Mapping[str, str], log: BinaryIO) -> Forked | None:
        if self.forked_by is None:
            return None
        python, option, module, *arguments = self.command
        assert [python, option] == [sys.executable, "-m"], self.command
        try:
            return self.forked_by.fork(module, arguments, environment, log.fileno())
        except NotForked as error:
            log.write(f"started by itself: {error}\n".encode())
            log.flush()
            return None

    def _executed(
        self, environment: Mapping[str, str], log: int, given: int | None = None
    ) -> subprocess.Popen[bytes]:
        setpriv = require_program("setpriv", package="util-linux")
        return subprocess.Popen(  # noqa: S603 - the command is our own
            [setpriv, "--pdeathsig", "KILL", *self.command],
            env=environment,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL if given is None else given,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A terminal's Ctrl-C must reach only the supervisor, which stops things in order.
            start_new_session=True,
        )

    @property
    def pid(self) -> int | None:
        """Process id of the real server, or None while it is not running."""
        if self.child is None or self.child.poll() is not None:
            return None
        if self.payload is None:
            return self.child.pid
        if self.real_pid is None:
            self.real_pid = _descendant(self.child.pid, self.payload)
        return self.real_pid if self.real_pid is not None else self.child.pid

    @property
    def wrapper_pid(self) -> int | None:
        """Process id of what was started, the root of its process tree; None while it is not running."""
        return self.child.pid if self.child is not None and self.child.poll() is None else None

    @property
    def running(self) -> bool:
        """Whether the started command has not ended."""
        return self.child is not None and self.child.poll() is None

    @property
    def exit_status(self) -> int | None:
        """Exit status of the ended command (negative: the signal), None while it runs."""
        return None if self.child is None else self.child.poll()

    def is_ready(self) -> bool:
        """Whether it runs and its readiness check says yes."""
        now = self.running and self.ready()
        self.was_ready = self.was_ready or now
        return now

    def wait_ready(self, deadline: float) -> None:
        """Wait until ready; ``deadline`` is in seconds of ``time.monotonic``. Raises ProcessFailed."""
        while not self.is_ready():
            if not self.running:
                raise ProcessFailed(f"{self.name} ended with status {self.exit_status}.\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} was not ready in time.\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Send the stop signal and return at once."""
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, self.stop_signal)

    def kill(self) -> None:
        """Send SIGKILL to the whole process group and return at once."""
        if self.running and self.child is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def end_remains(self) -> None:
        """Kill what an ended process left in its process group.

        A wrapper that is killed within a moment of its start has not yet told the kernel that its child is to
        die with it; that child would hold the ports of whatever is started next.
        """
        if self.child is not None and not self.running:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def wait_stopped(self, deadline: float) -> None:
        """Wait for the end; at the deadline (``time.monotonic`` seconds) kill the whole process group."""
        if self.child is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(max(0.0, deadline - time.monotonic()))
        # The group too: what a service started itself must not stay behind.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(5)

    @property
    def patience(self) -> float:
        """How many seconds it gets to stop by itself."""
        return self.stop_seconds if self.was_ready else min(self.stop_seconds, UNREADY_STOP_SECONDS)

    def stop(self) -> None:
        """Send the stop signal, wait, then kill."""
        self.ask_to_stop()
        self.wait_stopped(time.monotonic() + self.patience)

    def log_tail(self) -> str:
        """Return the last lines of the log, with its path."""
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return "\n".join([f"Its log: {self.log_file}", *(f"  | {line}" for line in lines[-LOG_TAIL_LINES:])])


def _descendant(pid: int, name: str) -> int | None:
    with suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            if process.name() == name:
                return int(process.pid)
    return None


def lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; what only waits for its parent to notice its end does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def start_all(processes: Sequence[Process], seconds: float) -> None:
    """Start processes together and wait until each is ready; stops them all if one fails."""
    deadline = time.monotonic() + seconds
    try:
        for process in processes:
            process.spawn()
        for process in processes:
            process.wait_ready(deadline)
    except BaseException:
        stop_all(processes)
        raise


def stop_all(processes: Sequence[Process]) -> None:
    """Stop processes together, each within its own ``stop_seconds``."""
    now = time.monotonic()
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.wait_stopped(now + process.patience)


def base_environment() -> dict[str, str]:
    """Return the few environment variables that children inherit."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "LAUNDRY_STACK")
    found = {name: os.environ[name] for name in names if name in os.environ}
    found.update({name: value for name, value in os.environ.items() if name.startswith("OTEL_")})
    return found
