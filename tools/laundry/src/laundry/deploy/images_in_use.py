"""Builds every image and uses them all on a real Docker engine: the story, with one broker and with three."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from laundry.deploy import broker, engine, environment, images, tools
from laundry.paths import PROJECT, StackPaths
from laundry_servers.errors import LaundryError
from laundry_servers.ports import free_ports

BUILD_SECONDS, START_SECONDS, STOP_SECONDS = 7200, 900, 300
Say = Callable[[str], None]
Story = Callable[[StackPaths], bool]
"""Tells the demo's story to the stack whose files lie there; true if all of it happened."""


@dataclass(frozen=True, slots=True)
class Containers:
    """A stack of Compose of its own: other names, ports, volumes and passwords than anybody else's."""

    compose: tools.Tool
    paths: StackPaths
    name: str

    def run(self, *arguments: str, seconds: float = START_SECONDS) -> None:
        """Let Compose do something. Raises LaundryError if it does not."""
        place = ["--project-directory", str(PROJECT), "--project-name", self.name]
        place += ["--env-file", str(self.paths.var / "compose.env")]
        _run([*self.compose.command, *place, *arguments], seconds)

    def start(self, *, cluster: bool) -> None:
        """Start it with one broker or with three, and wait until all of it is ready."""
        ports = dict(zip(environment.HOST_PORTS, free_ports(len(environment.HOST_PORTS)), strict=True))
        env_file = environment.write(self.paths, ports=ports, cluster=cluster)
        with env_file.open("a") as file:
            file.write("DRILLS=true\n")
        self.run("up", "--detach", "--wait", "--wait-timeout", str(START_SECONDS - 60), "--no-build")


def check(story: Story, say: Say) -> str | None:
    """Build, start, tell, with three brokers end one and tell again; what was started is removed.

    Returns:
        Why it cannot be done on this machine; None once it was.

    Raises:
        LaundryError: something failed; what the containers said is shown before.
    """
    if (missing := engine.missing()) is not None:
        return missing
    compose, builder = tools.compose(fetch=True), tools.buildx(fetch=True)
    if compose is None or builder is None:
        return "Docker Compose or buildx is missing, and apt to get it"
    _run([*builder.command, "bake", "--file", str(images.FILE), "--load", "all"], BUILD_SECONDS)
    say(f"✓ {len([*images.images()])} images")
    for cluster in (False, True):
        # A cluster begins empty: queues get their members when they are made.
        with _containers(compose) as containers:
            containers.start(cluster=cluster)
            _told(story, containers)
            say(f"✓ the story, with {'three brokers' if cluster else 'one broker'}")
            if cluster:
                ended = broker.COMPOSE_NODES[1]
                containers.run("kill", ended)
                _told(story, containers)
                say(f"✓ the story again, without {ended}")
    return None


@contextmanager
def _containers(compose: tools.Tool) -> Iterator[Containers]:
    with tempfile.TemporaryDirectory(prefix="laundry-images-") as folder:
        containers = Containers(compose, StackPaths(Path(folder)), f"laundry-check-{secrets.token_hex(3)}")
        try:
            try:
                yield containers
            except LaundryError:
                containers.run("logs", "--tail", "40")
                raise
        finally:
            if (Path(folder) / "compose.env").exists():
                containers.run("down", "--volumes", "--remove-orphans", seconds=STOP_SECONDS)


def _told(story: Story, containers: Containers) -> None:
    if not story(containers.paths):
        raise LaundryError("The story did not happen as it should; the table says where it ended.")


def _run(command: Sequence[str], seconds: float) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own commands
            command, cwd=PROJECT, env=os.environ, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise LaundryError(f"{' '.join(command)} took longer than {seconds:.0f} s.") from None
    if done.returncode != 0:
        raise LaundryError(f"{' '.join(command)} ended with status {done.returncode}; see above.")
