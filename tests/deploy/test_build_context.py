"""What an image is built from reaches Docker's builder: .dockerignore lets it through, and it is whole."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

import pytest

from laundry.deploy import images
from laundry.paths import PROJECT

TARGETS: dict[str, Any] = json.loads(images.FILE.read_text())["target"]
DOCKERFILE = (PROJECT / "deploy/docker/Dockerfile").read_text()


@cache
def rules() -> tuple[tuple[bool, re.Pattern[str]], ...]:
    """The rules of .dockerignore: whether each keeps out what it fits."""
    lines = (line.strip() for line in (PROJECT / ".dockerignore").read_text().splitlines())
    found = []
    for line in lines:
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!").strip("/"))
            pattern = pattern.replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
            found.append((not line.startswith("!"), re.compile(pattern)))
    return tuple(found)


def let_through(path: str) -> bool:
    """As Docker reads the rules: the last one counts that fits the path or a folder above it."""
    above = [str(each) for each in (PurePosixPath(path), *PurePosixPath(path).parents)][:-1]
    kept_out = [out for out, pattern in rules() if any(pattern.fullmatch(each) for each in above)]
    return not (kept_out and kept_out[-1])


@pytest.mark.parametrize(
    ("path", "through"),
    [
        ("pyproject.toml", True),
        ("services/helper/src/helper/app.py", True),
        ("services/helper/src/helper/__pycache__/app.cpython-313.pyc", False),
        ("services/helper/tests/test_app.py", False),
        # What EXTRA is with an index of torch for processors alone, as the Dockerfile says.
        ("tools/training/training-requirements-cpu.txt", True),
        ("var/compose.env", False),
        (".git/config", False),
        ("deploy/docker/pyproject.toml", False),
    ],
)
def test_the_rules_are_read_as_docker_reads_them(path: str, through: bool) -> None:
    assert let_through(path) is through


@cache
def tracked() -> tuple[str, ...]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(listed.stdout.splitlines())


def sources(arguments: dict[str, str]) -> Iterator[str]:
    """What the Dockerfile takes from the build context with these arguments: files and folders."""
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        yield from Template(line).substitute(arguments).split()
    yield from re.findall(r"(?<= )/context/(\S+)", DOCKERFILE)


def built_from(arguments: dict[str, str]) -> Iterator[str]:
    """The files that an image needs of these: of a package its description and its code."""
    for source in sources(arguments):
        if (PROJECT / source).is_file():
            yield source
            continue
        inside = [path for path in tracked() if path.startswith(f"{source}/")]
        assert inside, f"{source} is not there"
        in_package = re.compile(rf"{source}/(?:[\w-]+/)?(?:pyproject\.toml|src/.*)")
        packages = [path for path in inside if in_package.fullmatch(path)]
        yield from packages or inside
    folder = f"{arguments['FOLDER']}/{arguments['SERVICE']}"
    yield from (f"{folder}/{name}" for name in arguments.get("EXTRA", "").split())


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_an_image_is_built_from_is_let_through(target: str) -> None:
    arguments = {"FOLDER": "services", **TARGETS[target]["args"]}
    needed = {*built_from(arguments)}
    assert {"requirements.lock", "libs/service/pyproject.toml"} <= needed
    assert [path for path in sorted(needed) if not (PROJECT / path).is_file()] == []
    assert [path for path in sorted(needed) if not let_through(path)] == []


def test_torch_of_the_usual_index_comes_with_what_it_cannot_be_imported_without() -> None:
    extras = {name: target["args"] for name, target in TARGETS.items() if "EXTRA" in target["args"]}
    assert extras.keys() == {"mlops-training"}
    for arguments in extras.values():
        assert "EXTRA_INDEX" not in arguments
        assert arguments["EXTRA"].split() == ["training-requirements.txt", "training-requirements-cuda.txt"]
    # Nor is an image made from files that are not whole.
    assert "uv pip check --python /opt/venv/bin/python" in DOCKERFILE


def test_the_release_asks_for_the_python_of_the_images() -> None:
    assert re.findall(r"^ARG PYTHON_IMAGE=python:([\d.]+)", DOCKERFILE, re.MULTILINE) == [images.PYTHON]


def test_everybody_in_the_image_reads_the_model_whatever_the_checkout_s_umask_was(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir(mode=0o700)
    (tmp_path / "models" / "model.onnx").touch(mode=0o600)
    [copying] = re.findall(r"\) (cp .*) ;; esac", DOCKERFILE)
    here = copying.replace("/context", str(tmp_path)).replace("/opt/models", str(tmp_path / "made"))
    subprocess.run(["sh", "-c", f"umask 022 && {here}"], check=True)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "made" / "model.onnx").stat().st_mode & 0o777 == 0o644
