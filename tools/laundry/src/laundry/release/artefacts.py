"""The files of a release: chart, notes, bill of materials, licences, provenance, checksums."""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from laundry.deploy import tools
from laundry.deploy.tools import Tool
from laundry.release import shipped
from laundry.release.repository import CHART
from laundry_servers.errors import LaundryError

CYCLONEDX = "cyclonedx-bom==7.5.0"
PIP_LICENSES = "pip-licenses==5.5.5"
SBOM, LICENCES, NOTES = "sbom.cdx.json", "THIRD-PARTY.txt", "RELEASE-NOTES.md"
PROVENANCE, SUMS = "provenance.intoto.jsonl", "SHA256SUMS"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
NO_LICENCE = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Origin:
    """Of what and by whom a release is made."""

    version: str
    commit: str
    repository: str
    lock: bytes
    started: datetime
    finished: datetime


def chart(source: Path, folder: Path) -> Path | None:
    """Package the chart into ``folder``; None where helm is missing.

    Raises:
        LaundryError: helm refused it.
    """
    helm = tools.helm(fetch=True)
    if helm is None:
        return None
    before = set(folder.iterdir())
    _checked(helm, ["package", str(source / CHART), "--destination", str(folder)])
    [made] = set(folder.iterdir()) - before
    return made


def bill_of_materials(source: Path, folder: Path) -> Path:
    """Write the CycloneDX document of every distribution that the images hold, with its hashes.

    Raises:
        LaundryError: CycloneDX's own tool could not be installed, or failed.
    """
    names = shipped.distributions()
    requirements = shipped.lines_of_lock((source / "requirements.lock").read_text(), names)
    file, made = folder / "shipped.txt", folder / SBOM
    file.write_text(requirements)
    project = ["--pyproject", str(source / "pyproject.toml"), "--mc-type", "application"]
    form = ["--output-reproducible", "--sv", "1.6", "--output-file", str(made)]
    _checked(of_index(CYCLONEDX, "cyclonedx-py"), ["requirements", *project, *form, str(file)])
    file.unlink()
    missing = names.keys() - {each["name"] for each in json.loads(made.read_text())["components"]}
    if missing:
        raise LaundryError(
            f"requirements.lock does not name {', '.join(sorted(missing))}. Run: make lock setup"
        )
    return made


def licences(folder: Path, python: str) -> Path:
    """Write the licence of each distribution that the images hold, with its text.

    Raises:
        LaundryError: one says nothing of its licence, or pip-licenses could not be installed.
    """
    versions = shipped.distributions()
    asked = ["--python", python, "--from", "mixed", "--with-urls", "--packages", *versions]
    asked += ["--with-license-file", "--with-notice-file", "--no-license-path", "--format", "json"]
    found = json.loads(_checked(of_index(PIP_LICENSES, "pip-licenses"), asked))
    if nothing := [each["Name"] for each in found if each["License"] == NO_LICENCE]:
        raise LaundryError(f"{', '.join(nothing)}: no licence is said. May it be shipped?")
    made = folder / LICENCES
    head = (
        "Smart Fitness Laundry is under the MIT licence (LICENSE). Its images hold these works of others, "
        "each under its own licence,\nbeside what the base image python:3.13-slim holds.\n"
    )
    made.write_text("\n".join([head, *(_licence(each, versions) for each in found)]))
    return made


def _licence(entry: dict[str, str], versions: Mapping[str, str]) -> str:
    """Return one licence. Its text is of the version here, where the images' Python may get another one."""
    version = versions.get(canonicalize_name(entry["Name"]), entry["Version"])
    title = f"{entry['Name']} {version}: {entry['License']}"
    of = [] if version == entry["Version"] else [f"(the text is that of {entry['Version']})"]
    texts = [entry[key].strip() for key in ("LicenseText", "NoticeText") if entry[key] != NO_LICENCE]
    return "\n".join([title, "=" * len(title), entry["URL"], *of, "", *texts, ""])


def write_provenance(folder: Path, files: Iterable[Path], origin: Origin) -> Path:
    """Write the statement about files as one line, as in-toto's tools read them."""
    made = folder / PROVENANCE
    made.write_text(json.dumps(provenance(files, origin)) + "\n")
    return made


def provenance(files: Iterable[Path], origin: Origin) -> dict[str, Any]:
    """Return the in-toto statement with SLSA's provenance of files; nobody has signed it."""
    commit = {"uri": f"git+{origin.repository}", "digest": {"gitCommit": origin.commit}}
    lock = {"uri": "requirements.lock", "digest": {"sha256": hashlib.sha256(origin.lock).hexdigest()}}
    return {
        "_type": STATEMENT,
        "subject": [{"name": file.name, "digest": {"sha256": _sha256(file)}} for file in files],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{origin.repository}/tools/laundry/src/laundry/release",
                "externalParameters": {"version": origin.version},
                "resolvedDependencies": [commit, lock],
            },
            "runDetails": {
                "builder": {"id": f"{origin.repository}/Makefile#release"},
                "metadata": {
                    "startedOn": origin.started.isoformat(timespec="seconds"),
                    "finishedOn": origin.finished.isoformat(timespec="seconds"),
                },
            },
        },
    }


def checksums(files: Iterable[Path]) -> str:
    """Return what ``sha256sum --check`` reads."""
    return "".join(f"{_sha256(file)}  {file.name}\n" for file in files)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def of_index(package: str, program: str) -> Tool:
    """A program of the package index, kept apart from what the project needs."""
    return Tool(
        (str(Path(sys.executable).with_name("uv")), "tool", "run", "--quiet", "--from", package, program)
    )


def _checked(tool: Tool, arguments: Sequence[str]) -> str:
    done = tool.run(arguments)
    if done.returncode != 0:
        raise LaundryError(f"{tool.command[-1]} failed:\n{(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout
