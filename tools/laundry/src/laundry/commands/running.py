"""A stack for one command: the one that is running, or one that is started for it and stopped afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from laundry.commands.stack import down
from laundry.display import ConsoleProgress, console
from laundry.paths import StackPaths, stack_paths
from laundry.stack import detached, state
from laundry.stack.launch import Options
from laundry_catalogue import SERVICES
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that is ready.

    Attributes:
        document: the content of stack.json.
        started_here: whether the command started it, so that it ends with the command.
    """

    paths: StackPaths
    document: dict[str, Any]
    started_here: bool


@contextmanager
def running_stack(*, nodes: int = 1) -> Iterator[RunningStack]:
    """Use the running stack, or start one with ``nodes`` RabbitMQ nodes and stop it after the block.

    Raises:
        LaundryError: ``nodes`` is neither 1 nor 3, the running stack lacks a service, or none starts.
    """
    if nodes not in (1, 3):
        raise LaundryError("--nodes is 1 or 3: quorum queues need an odd number to agree.")
    paths = stack_paths()
    if state.supervisor(paths) is not None:
        document = state.running_stack(paths)
        if absent := [
            each.name for each in SERVICES if each.port is not None and each.url_key not in document
        ]:
            raise state.left_out(*absent)
        console.print("Using the stack that is running already.")
        yield RunningStack(paths, document, started_here=False)
        return
    # What fails to start has stopped everything of its own; what runs then is somebody else's.
    document = _start(paths, nodes)
    ours = state.supervisor(paths)
    try:
        yield RunningStack(paths, document, started_here=True)
    finally:
        if state.supervisor(paths) in (None, ours):
            down(wipe=False)


def _start(paths: StackPaths, nodes: int) -> dict[str, Any]:
    progress = ConsoleProgress()
    try:
        return detached.start(paths, Options(nodes=nodes, servers=Kind.AUTO), progress)
    finally:
        progress.close()
