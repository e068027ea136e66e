"""Runs a service, and sees where its processor time goes.

``python -m laundry_lab.bench.sampled`` reads from standard input which package it serves, as ``python -m``
would. Each further line is answered with a line of JSON: the processor seconds used so far, by stage. It ends
when its standard input does.
"""

import json
import os
import runpy
import signal
import sys
import threading
import time
from collections import defaultdict
from types import FrameType
from typing import Any

EVERY_S = 0.001
MAIN = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
THREADS = "other threads: S3 client, files"
LOOP, SERVER = "event loop and sockets", "laundry_service.server"
# The innermost frame of one of these packages says what is being done; the first that fits.
STAGES = {
    "receive the form": ("python_multipart.", "starlette.formparsers.", "helper.api.multipart.", "tempfile."),
    "check the photo, hash": ("laundry_reading.", "PIL.", "helper.decoder.", "helper.service.submission."),
    "store the photo": ("laundry_service.storage.object_store.", "obstore."),
    "store row and event": (
        "sqlalchemy.",
        "asyncpg.",
        "greenlet.",
        "helper.repository.",
        "laundry_events.outbox.",
        "laundry_service.storage.",
    ),
    "publish": (
        "laundry_events.",
        "laundry_service.messaging.",
        "aiormq.",
        "aio_pika.",
        "pamqp.",
        "faststream.",
    ),
    "who asks, and how much he may": (
        "jwt.",
        "cryptography.",
        "laundry_service.auth.",
        "laundry_service.limits.",
    ),
    "logs, metrics, spans": (
        "structlog.",
        "prometheus_client.",
        "opentelemetry.",
        "laundry_service.telemetry.",
        "logging.",
    ),
    "HTTP: server, routes, answer": (
        "uvicorn.protocols.",
        "uvicorn.middleware.",
        "httptools.",
        "h11.",
        "fastapi.",
        "starlette.",
        "pydantic.",
        "laundry_service.",
        "helper.",
    ),
}


def stage_of(frame: FrameType | None) -> str:
    """Return the stage that a frame belongs to, by the innermost caller that names one."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        # Everything runs within it.
        if module == SERVER:
            break
        for stage, packages in STAGES.items():
            if f"{module}.".startswith(packages):
                return stage
        frame = frame.f_back
    return LOOP


class Sampler:
    """Gives what the main thread has used since the last look to the stage in which it is now.

    It looks by a signal as processor time passes. A thread that looks would be let in mostly where the main
    thread waits, and would blame what is done there.
    """

    def __init__(self) -> None:
        self._used: defaultdict[str, float] = defaultdict(float)
        self._before = time.thread_time()

    def start(self) -> None:
        """Look from now on; in the main thread."""
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _look(self, _: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        self._used[stage_of(frame)] += now - self._before
        self._before = time.thread_time()

    def used(self) -> dict[str, float]:
        """Return the processor seconds of each stage; what looking takes is none of them."""
        threads = time.process_time() - time.clock_gettime(MAIN)
        return {**self._used, THREADS: threads}


def say(what: str, **more: Any) -> None:
    """Tell the measuring process."""
    sys.stdout.write(json.dumps({"said": what, **more}) + "\n")
    sys.stdout.flush()


def answer(sampler: Sampler) -> None:
    """Tell what was used at each line of input; ask this process to end at its end."""
    for _ in sys.stdin:
        say("used", stages=sampler.used())
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve."""
    order = json.loads(sys.stdin.readline())
    sampler = Sampler()
    sampler.start()
    threading.Thread(target=answer, args=(sampler,), daemon=True).start()
    say("ready")
    runpy.run_module(order["package"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
