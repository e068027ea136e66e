"""Whether a Docker engine answers; a docker client on PATH proves nothing."""

import shutil
import subprocess

SECONDS = 30


def missing() -> str | None:
    """Return why there is none, None where one answers."""
    if shutil.which("docker") is None:
        return "docker is not installed here"
    try:
        done = subprocess.run(
            ["docker", "info", "--format", "{{.ServerVersion}}"],  # noqa: S607 - docker of this machine
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"the Docker engine did not answer within {SECONDS} s"
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return f"no Docker engine answers ({said[-1].strip() if said else 'docker info failed'})"
    return None
