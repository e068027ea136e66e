"""What each process of the stack is doing now."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from laundry.paths import StackPaths
from laundry.stack import state
from laundry_servers.files import read_json
from laundry_servers.local_http import local_http
from laundry_servers.ports import is_open


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """One process; memory is of it with its children, in bytes."""

    name: str
    pid: int | None
    port: int | None
    rss_bytes: int
    pss_bytes: int
    health: str
    uptime_seconds: float | None
    restarts: int


@dataclass(frozen=True, slots=True)
class StackReport:
    """The whole stack; ``ready`` is false while it is still starting."""

    running: bool
    ready: bool
    servers: str
    processes: list[ProcessReport]

    @property
    def healthy(self) -> bool:
        """Whether everything was started and is healthy."""
        return self.ready and all(process.health == "ok" for process in self.processes)


def look(paths: StackPaths) -> StackReport:
    """Look at every process of the stack in ``paths``."""
    notes: dict[str, Any] | None = read_json(paths.processes_file)
    supervisor = state.supervisor(paths)
    if notes is None or supervisor is None:
        return StackReport(False, False, "", [])
    rss, pss = _memory(supervisor.pid, children=False)
    started = supervisor.create_time()
    found = [ProcessReport("supervisor", supervisor.pid, None, rss, pss, "ok", time.time() - started, 0)]
    found += [_report(entry) for entry in notes["processes"]]
    return StackReport(True, notes["ready"], notes["servers"], found)


def look_at(paths: StackPaths, name: str) -> ProcessReport | None:
    """Look at one process; None while nobody knows it."""
    notes: dict[str, Any] = read_json(paths.processes_file) or {"processes": []}
    return next((_report(entry) for entry in notes["processes"] if entry["name"] == name), None)


def _report(entry: dict[str, Any]) -> ProcessReport:
    pid = entry["pid"]
    alive = pid is not None and psutil.pid_exists(pid)
    rss, pss = _memory(entry["root_pid"] or pid, children=True) if alive else (0, 0)
    return ProcessReport(
        name=entry["name"],
        pid=pid if alive else None,
        port=entry["port"],
        rss_bytes=rss,
        pss_bytes=pss,
        health=_health(entry) if alive else f"ended ({entry['exit_status']}), starting again",
        uptime_seconds=time.time() - entry["started_at"] if alive else None,
        restarts=entry["restarts"],
    )


def _health(entry: dict[str, Any]) -> str:
    if entry["health_url"]:
        try:
            answer = local_http().get(entry["health_url"])
        except httpx.HTTPError as error:
            return f"no answer ({type(error).__name__})"
        if answer.status_code == 200:
            return "ok"
        with suppress(ValueError):
            checks = answer.json().get("checks", {})
            wrong = [f"{name}: {result}" for name, result in checks.items() if result != "ok"]
            return "not ready: " + ", ".join(wrong)
        return f"answers {answer.status_code}"
    if entry["port"]:
        return "ok" if is_open(entry["port"]) else "port closed"
    return "ok"


def _memory(pid: int, *, children: bool) -> tuple[int, int]:
    rss = pss = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *(root.children(recursive=True) if children else [])]:
            with suppress(psutil.Error):
                memory = process.memory_full_info()
                rss += memory.rss
                pss += memory.pss
    return rss, pss
