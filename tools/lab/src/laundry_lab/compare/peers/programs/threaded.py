"""For peers that block: threads that send, and a database connection for each thread that works."""

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg

from laundry_lab.compare.peers.programs.orders import CALLERS, DATABASE_URL, PADDING, Order, Sent, orders

INSERT = "INSERT INTO effects (number, due, worker) VALUES (%s, %s, %s)"
_here = threading.local()


def record(number: int, due: float) -> None:
    """Have the effect of a task: a row, with nothing that would hide a second one."""
    connection = getattr(_here, "connection", None)
    if connection is None:
        connection = _here.connection = psycopg.connect(DATABASE_URL, autocommit=True, connect_timeout=10)
    connection.execute(INSERT, (number, due, os.getpid()))


def send_orders(send: Callable[[int, float, str], object]) -> None:
    """Send what standard input tells."""
    with ThreadPoolExecutor(CALLERS) as threads:
        for order in orders():
            _send(order, send, threads).say()


def _send(order: Order, send: Callable[[int, float, str], object], threads: ThreadPoolExecutor) -> Sent:
    refused: list[int] = []
    turns, lock = iter(range(order.number)), threading.Lock()
    began = [time.time(), time.process_time()]

    def opened() -> None:
        # Every caller has sent one, and has its connection: what counts is what follows.
        began[:] = [time.time(), time.process_time()]

    first = threading.Barrier(CALLERS, opened)

    def taken() -> Iterator[int]:
        while True:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            yield turn

    def caller() -> None:
        for done, turn in enumerate(taken()):
            due = order.due(turn, began[0])
            time.sleep(max(0.0, due - time.time()))
            try:
                send(order.first + turn, due, PADDING)
            except Exception:
                traceback.print_exc()
                refused.append(order.first + turn)
            if not order.rate and not done:
                first.wait(60)

    for caller_ in [threads.submit(caller) for _ in range(CALLERS)]:
        caller_.result()
    return Sent(refused, time.time() - began[0], time.process_time() - began[1])
