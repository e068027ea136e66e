"""The release before this one, from the history: the last commit whose chart has another version."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from laundry.paths import PROJECT
from laundry_cluster.places import Places
from laundry_servers.errors import LaundryError
from laundry_servers.programs import run

CHART_FOLDER = "deploy/helm/laundry"
CHART_FILE = f"{CHART_FOLDER}/Chart.yaml"
VARIABLE, ENVIRONMENT = "LAUNDRY_VAR_DIR", "          env:\n"


@dataclass(frozen=True, slots=True)
class Before:
    """A commit, with its files in a folder of their own."""

    commit: str
    tree: Path

    @property
    def chart(self) -> Path:
        """The folder of that release's chart."""
        return self.tree / CHART_FOLDER

    @property
    def version(self) -> str:
        """The version of that release's chart."""
        return str(yaml.safe_load((self.chart / "Chart.yaml").read_text())["version"])

    @property
    def tag(self) -> str:
        """What its images are called here."""
        return f"before-{self.commit[:12]}"


def repair(chart: Path) -> None:
    """Let a chart's topology Job write what it did: that of 0.1.0 could not, and never ended well."""
    file = chart / "templates/topology.yaml"
    text = file.read_text()
    if VARIABLE not in text:
        file.write_text(
            text.replace(ENVIRONMENT, f"{ENVIRONMENT}            - {{name: {VARIABLE}, value: /tmp}}\n", 1)
        )


def commit_of(repository: Path) -> str | None:
    """Return the last commit of the chart's version before the present one; None where none is known."""
    git = ("git", "-C", repository)
    try:
        changed = run([*git, "log", "-1", "--format=%H", "-G^version:", "--", CHART_FILE]).strip()
        found = run([*git, "rev-parse", "--verify", "--quiet", f"{changed}^1"]).strip()
        run([*git, "cat-file", "-e", f"{found}:{CHART_FILE}"])
    except LaundryError:
        return None
    return found


def find() -> Before | None:
    """Return the release before this one, unpacked; None in a copy without that much history."""
    commit = commit_of(PROJECT)
    if commit is None:
        return None
    tree = Places.usual().folder / "before" / commit[:12]
    if not tree.exists():
        shutil.rmtree(tree.parent, ignore_errors=True)
        draft = tree.with_suffix(".draft")
        draft.mkdir(parents=True)
        packed = tree.with_suffix(".tar")
        run(["git", "-C", PROJECT, "archive", "--output", packed, commit])
        run(["tar", "-xf", packed, "-C", draft])
        packed.unlink()
        draft.rename(tree)
    return Before(commit, tree)
