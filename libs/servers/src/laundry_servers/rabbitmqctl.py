"""Asks a running node to evaluate an expression, with the cookie of its folder."""

import subprocess
from pathlib import Path
from typing import Protocol

from laundry_servers import isolate
from laundry_servers.authority import Authority
from laundry_servers.errors import LaundryError

SECONDS = 60


class Encryption(Protocol):
    """What is needed of nodes that speak TLS with each other."""

    authority: Authority

    def erlang_arguments(self, node: str) -> str:
        """Return what makes ``rabbitmqctl`` speak it too."""


def evaluate(
    root: Path, folder: Path, expression: str, *, node: int, epmd_port: int, tls: Encryption | None = None
) -> str:
    """Return what an Erlang expression came to at a node.

    Args:
        node: the number of a running one.

    Raises:
        LaundryError: it could not be asked.
    """
    environment = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"rmq{node}@localhost",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        **({"RABBITMQ_CTL_ERL_ARGS": tls.erlang_arguments(f"rabbitmq-{node}")} if tls else {}),
    }
    arguments = ["/usr/lib/rabbitmq/bin/rabbitmqctl", "--silent", "eval", expression]
    folders = [folder, *([tls.authority.folder] if tls else [])]
    command = isolate.command(root, arguments, environment=environment, folders=folders)
    try:
        ran = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise LaundryError(f"rabbitmqctl did not answer within {SECONDS} s.") from None
    if ran.returncode != 0 or "badrpc" in ran.stdout:
        raise LaundryError(f"rabbitmqctl: {(ran.stderr or ran.stdout).strip()[-500:]}")
    return ran.stdout.strip()
