"""What traces cost the helper: exported, without details, and with a collector that is dead."""

import asyncio
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from laundry.stack import restart as restarting
from laundry_catalogue import copies_of
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.pictures import SMALL, Pictures, multipart
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.kept_settings import kept_settings
from laundry_lab.sender import sender_to
from laundry_servers.ports import free_port

PROCESS = "helper"
ROUNDS, UPLOADS, LANES, WARM_UPS = 3, 300, 8, 20
# The first spans leave after one second, and are overdue after five.
DELAY, DELAY_MS = "OTEL_BSP_SCHEDULE_DELAY", "1000"
WARM_UP_S = 7.0
STOP_S = 60.0
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
NONE, ALL, LEAN, DEAD = "no traces", "traces", "without details", "collector dead"
GROUP = f"Traces (POST /tasks, {SMALL.name})"


async def measure(stage: Stage) -> list[Figure]:
    """Upload the same number of photos in each way, in turns, and stop the process after each."""
    # More uploads in each, but no more of them: before each the process starts again and warms up.
    rounds = stage.many(ROUNDS, least=2, grows=False)
    advance = stage.say("traces", 4 * rounds)
    pictures = await asyncio.to_thread(Pictures, SMALL)
    rates: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    stops: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        for name in copies_of(PROCESS):
            await stack.enter_async_context(kept_settings(stage.paths, name, ENDPOINT, DELAY))
        with _collector() as alive, _switch(stage) as switch:
            endpoints = {NONE: "", ALL: alive, LEAN: alive, DEAD: f"http://127.0.0.1:{free_port()}"}
            for _ in range(rounds):
                for way in random.sample(list(endpoints), len(endpoints)):
                    switch.write_text("off" if way == LEAN else "on")
                    settings = {ENDPOINT: endpoints[way], DELAY: DELAY_MS}
                    processes = [
                        psutil.Process(
                            await asyncio.to_thread(restarting.restart, stage.paths, name, settings)
                        )
                        for name in copies_of(PROCESS)
                    ]
                    rate, used = await _uploaded(stage, pictures, processes)
                    rates.setdefault(way, []).append(rate)
                    spent.setdefault(way, []).append(used)
                    stops.setdefault(way, []).append(await asyncio.to_thread(_stopped, processes[0]))
                    advance(1)
    return _figures(rates, spent, stops)


def _figures(
    rates: dict[str, list[float]], spent: dict[str, list[float]], stops: dict[str, list[float]]
) -> list[Figure]:
    found: list[Figure] = []
    for way, figures in rates.items():
        note = f"{min(figures):.1f} to {max(figures):.1f}"
        found.append(Figure(GROUP, f"uploads, {way}", median(figures), "/s", note=note))
        used = spent[way]
        note = f"{min(used):.2f} to {max(used):.2f}"
        found.append(Figure(GROUP, f"processor time of one, {way}", median(used), "ms", note=note))
        found.append(Figure(GROUP, f"from SIGTERM to the end, {way}", median(stops[way]), "s"))
    fall = 1 - median(rates[DEAD]) / median(rates[ALL])
    longer = median(stops[DEAD]) - median(stops[NONE])
    return [
        *found,
        Figure(GROUP, "throughput that a dead collector takes", 100 * fall, "%", 2),
        Figure(GROUP, "time that a dead collector adds to a stop", longer, "s", 0.2),
        Figure(GROUP, "processor time that traces add", _more(spent, ALL, NONE), "%"),
        Figure(GROUP, "the same without details", _more(spent, LEAN, NONE), "%"),
    ]


def _more(spent: dict[str, list[float]], way: str, than: str) -> float:
    return 100 * (median(spent[way]) / median(spent[than]) - 1)


async def _uploaded(
    stage: Stage, pictures: Pictures, processes: Sequence[psutil.Process]
) -> tuple[float, float]:
    """Return uploads a second, and the processor time of one, ms."""
    branch = stage.branch("traces")
    headers = stage.headers("helper", branch)
    async with sender_to(stage.document["helper_url"]) as sender:

        async def lane(numbers: Iterator[int]) -> None:
            for _ in numbers:
                body, content_type = multipart(pictures.photo(), branch)
                answer = await sender.post("/tasks", body, {**headers, "Content-Type": content_type})
                if answer.status != 201:
                    raise NotMeasured(f"traces: {answer.status} {answer.text[:150]}")

        async def upload(number: int) -> None:
            numbers = iter(range(number))
            await asyncio.gather(*(lane(numbers) for _ in range(LANES)))

        warm_at = time.perf_counter() + WARM_UP_S
        while time.perf_counter() < warm_at:
            await upload(WARM_UPS)
        uploads = stage.many(UPLOADS, least=50)
        began, before = time.perf_counter(), _processor_s(processes)
        await upload(uploads)
        took, used = time.perf_counter() - began, _processor_s(processes) - before
    return uploads / took, 1000 * used / uploads


def _processor_s(processes: Sequence[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (each.cpu_times() for each in processes))


def _stopped(process: psutil.Process) -> float:
    """Stop a process as an update does; returns the seconds until it is gone."""
    began = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    process.wait(STOP_S)
    return time.perf_counter() - began


@contextmanager
def _switch(stage: Stage) -> Iterator[Path]:
    """Yield the file that says whether traces have details; after the block it says what it said."""
    switch = stage.paths.telemetry / PROCESS
    switch.parent.mkdir(parents=True, exist_ok=True)
    kept = switch.read_text() if switch.exists() else None
    try:
        yield switch
    finally:
        if kept is None:
            switch.unlink(missing_ok=True)
        else:
            switch.write_text(kept)


@contextmanager
def _collector() -> Iterator[str]:
    """Take spans and drop them: a real collector does its work on another machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, name="collector", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
