"""The peers: how each is called, how its program that sends and its workers are started."""

import sys
from dataclasses import dataclass
from pathlib import Path

from laundry_lab.compare.peers import environment
from laundry_lab.compare.peers.programs.orders import IN_HAND

PROGRAMS = "laundry_lab.compare.peers.programs"
PROCESSES = "2"
REPLICAS = ("-m", f"{PROGRAMS}.replicas", PROCESSES)


@dataclass(frozen=True)
class Peer:
    """One way to have a task done.

    Attributes:
        package: what it is installed by; None for ours.
        words: its name for readers, if that is another.
        sender: arguments of the interpreter that start the program that sends.
        worker: the same for what works: two processes, or as many children as it says here.
        prepares: the same for what makes its tables, if it has some.
        settles_s: after so long without an effect none comes any more.
    """

    name: str
    package: str | None
    sender: tuple[str, ...]
    worker: tuple[str, ...]
    prepares: tuple[str, ...] = ()
    settles_s: float = 2.0
    words: str = ""

    @property
    def title(self) -> str:
        """Its name with the version that is compared."""
        return f"{self.name} {environment.version(self.package)}" if self.package else self.words or self.name

    @property
    def python(self) -> Path:
        """The interpreter that it runs with."""
        return environment.python() if self.package else Path(sys.executable)


def _ours(name: str, work: str, words: str = "") -> Peer:
    return Peer(
        name,
        None,
        ("-m", f"{PROGRAMS}.ours", "send"),
        (*REPLICAS, sys.executable, "-m", f"{PROGRAMS}.ours", work),
        prepares=("-m", f"{PROGRAMS}.ours", "prepare"),
        words=words,
    )


def _peers() -> tuple[Peer, ...]:
    def sender(name: str) -> tuple[str, ...]:
        return ("-m", f"{PROGRAMS}.with_{name}")

    def module(name: str) -> str:
        return f"{PROGRAMS}.with_{name}"

    at_once = str(IN_HAND)
    procrastinate = ("-m", "procrastinate", "--app", f"{module('procrastinate')}.app")
    return (
        _ours("ours", "work"),
        _ours("ours-batched", "work-batched", "ours, batched"),
        Peer(
            "faststream",
            "faststream",
            sender("faststream"),
            (
                *("-m", "faststream", "run", f"{module('faststream')}:app"),
                *("--workers", PROCESSES, "--log-level", "warning"),
            ),
        ),
        Peer(
            "celery",
            "celery",
            sender("celery"),
            # A child does one task at a time, and waits for the database most of it: more children than
            # processors, as for any work of this kind.
            (
                *("-m", "celery", "--app", module("celery"), "worker", "--concurrency", "8"),
                *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
            ),
        ),
        Peer(
            "dramatiq",
            "dramatiq",
            sender("dramatiq"),
            ("-m", "dramatiq", module("dramatiq"), "--processes", PROCESSES, "--threads", at_once),
        ),
        Peer(
            "taskiq",
            "taskiq",
            sender("taskiq"),
            (
                *("-m", "taskiq", "worker", f"{module('taskiq')}:broker", "--workers", PROCESSES),
                *("--max-async-tasks", at_once, "--log-level", "WARNING"),
            ),
        ),
        Peer(
            "procrastinate",
            "procrastinate",
            sender("procrastinate"),
            (*REPLICAS, str(environment.python()), *procrastinate, "worker"),
            prepares=(*procrastinate, "schema", "--apply"),
            # A job of a dead worker is freed after 5 s, by a task that runs every 2 s.
            settles_s=9.0,
        ),
    )


PEERS = {peer.name: peer for peer in _peers()}
