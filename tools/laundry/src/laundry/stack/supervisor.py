"""Keeps the stack running until asked to stop, and leaves nothing behind."""

import fcntl
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from laundry.paths import StackPaths
from laundry.stack import leftovers, logs, state
from laundry.stack.launch import Launch, Options
from laundry.stack.watch import Watch
from laundry_servers import orphans
from laundry_servers.errors import LaundryError
from laundry_servers.files import write_json
from laundry_servers.process import Process, stop_all
from laundry_servers.progress import Progress, step

LOOK_SECONDS = 0.2
REAP_SECONDS = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AlreadyRunningError(LaundryError):
    """Another supervisor holds this stack."""


class Stopping(BaseException):
    """A signal asked to stop; not an Exception, so that no handler takes it for a failure."""


class Supervisor:
    """One stack, from its start to its end."""

    def __init__(self, paths: StackPaths, options: Options, progress: Progress) -> None:
        self.paths = paths
        self.progress = progress
        self.launch = Launch(paths, options, progress, changed=self._write_processes)
        self._ready = False
        self._written: dict[str, int] = {}
        self._watch: Watch | None = None

    def run(self, ready: Callable[[dict[str, object]], None]) -> None:
        """Start, call ``ready`` with the content of stack.json, watch until a signal, stop.

        Raises AlreadyRunningError, or LaundryError when the start failed (everything is stopped by then).
        """
        with _only_one(self.paths), _signals():
            leftovers.mark(self.paths.var)
            orphans.adopt()
            try:
                ended = leftovers.sweep(self.paths.var)
                if ended:
                    self.progress.finished("Left by a crashed stack, ended", ", ".join(ended))
                state.forget(self.paths)
                logs.set_aside(self.paths.logs, besides="supervisor.log")
                # Before anything is started, so that `laundry down` finds this supervisor from now on.
                self._write_processes()
                self.launch.run()
                self._ready = True
                self._write()
                ready(self.launch.document())
                self._keep_running()
            except Stopping:
                pass
            finally:
                self._stop()

    def _keep_running(self) -> None:
        watch = self._watch = Watch(self.launch.processes, changed=self._write, say=self._say)
        reaped = time.monotonic()
        while True:
            watch.look()
            # A wrapped server's own id is known only a moment after its start; and what could not be written
            # is written as soon as it can be.
            if self._pids() != self._written:
                watch.tell_change()
            if time.monotonic() - reaped > REAP_SECONDS:
                self._reap()
                reaped = time.monotonic()
            time.sleep(LOOK_SECONDS)

    def _reap(self) -> None:
        orphans.reap(p.child.pid for p in self.launch.processes if p.child is not None)

    def _say(self, text: str) -> None:
        self.progress.finished(time.strftime("%H:%M:%S"), text)

    def _pids(self) -> dict[str, int]:
        return {p.name: p.pid for p in self.launch.processes if p.pid is not None}

    def _write(self) -> None:
        pids = self._pids()
        write_json(self.paths.stack_file, self.launch.document())
        self._write_processes()
        self._written = pids

    def _write_processes(self) -> None:
        servers = str(self.launch.taken or "")
        watched = self._watch.watched if self._watch is not None else []
        restarts = {each.process.name: each.restarts for each in watched}
        state.write_processes(
            self.paths, self.launch.processes, ready=self._ready, servers=servers, restarts=restarts
        )

    def _stop(self) -> None:
        _kill_on_next_signal(self.launch.processes)
        # Clients must not find a stack that is stopping.
        self.paths.stack_file.unlink(missing_ok=True)
        with step(self.progress, "Stopping"):
            services = [p for p in self.launch.processes if p.health_url and p.name != "fcm"]
            names = {process.name for process in services}
            servers = [p for p in self.launch.processes if p.name not in names]
            stop_all(services)
            # epmd last: the broker's nodes unregister from it.
            stop_all([process for process in servers if process.name != "epmd"])
            stop_all([process for process in servers if process.name == "epmd"])
            for server in self.launch.started:
                server.stop()
            leftovers.sweep(self.paths.var)
            self._reap()
            state.forget(self.paths)


@contextmanager
def _only_one(paths: StackPaths) -> Iterator[None]:
    """Hold the stack's lock; the kernel lets go of it when this process dies, however that happens."""
    paths.lock_file.parent.mkdir(parents=True, exist_ok=True)
    with paths.lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = state.supervisor(paths)
            who = f"pid {running.pid}" if running else "just starting or stopping"
            raise AlreadyRunningError(
                f"This checkout's stack is already running ({who}). Look at it: laundry status. "
                "Stop it: laundry down"
            ) from None
        yield


@contextmanager
def _signals() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopping

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kill_on_next_signal(processes: list[Process]) -> None:
    """While stopping, a further Ctrl-C means: do not wait."""

    def kill(_number: int, _frame: FrameType | None) -> None:
        for process in processes:
            process.kill()

    for number in SIGNALS:
        signal.signal(number, kill)
