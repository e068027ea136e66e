"""The supervisor in the background: how the command line starts it, and what it runs there."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from laundry.display import JsonLines, replay
from laundry.paths import StackPaths, stack_paths
from laundry.stack.launch import Options
from laundry.stack.supervisor import Supervisor
from laundry_catalogue import service
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError
from laundry_servers.progress import Progress


def start(paths: StackPaths, options: Options, progress: Progress) -> dict[str, Any]:
    """Start a supervisor of its own session and wait until the stack is ready; return stack.json's content.

    Ctrl-C during the start stops what was started. Raises LaundryError when the start failed.
    """
    paths.logs.mkdir(parents=True, exist_ok=True)
    arguments = {
        "nodes": options.nodes,
        "servers": options.servers.value,
        "fresh": options.fresh,
        "tls": options.tls,
        "training_data": str(options.training_data) if options.training_data else None,
        "services": [each.name for each in options.services],
        "restore": str(options.restore) if options.restore else None,
    }
    with (paths.logs / "supervisor.log").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "laundry.stack.detached", json.dumps(arguments)],
            env={**os.environ, "LAUNDRY_VAR_DIR": str(paths.var)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert child.stdout is not None
    failure = ""
    try:
        for line in child.stdout:
            content = replay(line, progress)
            if content["event"] == "ready":
                document: dict[str, Any] = content["document"]
                return document
            if content["event"] == "error":
                failure = content["text"]
    except BaseException:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        child.wait(60)
        raise
    child.wait(60)
    raise LaundryError(failure or f"The supervisor ended. Its log: {paths.logs / 'supervisor.log'}")


def main() -> None:
    """Run the supervisor in the background."""
    asked = json.loads(sys.argv[1])
    options = Options(
        nodes=asked["nodes"],
        servers=Kind(asked["servers"]),
        fresh=asked["fresh"],
        tls=asked["tls"],
        training_data=Path(asked["training_data"]) if asked["training_data"] else None,
        services=tuple(service(name) for name in asked["services"]),
        restore=Path(asked["restore"]) if asked["restore"] else None,
    )
    paths = stack_paths()
    lines = JsonLines(sys.stdout)

    def ready(document: dict[str, object]) -> None:
        lines.send(event="ready", document=document)
        # From here on nobody reads the output: the supervisor logs instead.
        os.dup2(2, 1)
        lines.plain = True

    try:
        Supervisor(paths, options, lines).run(ready)
    except LaundryError as error:
        lines.send(event="error", text=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
