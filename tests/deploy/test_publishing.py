"""A release that origin would not take is refused before its images are out, and may be tried again."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from laundry.deploy.tools import Tool
from laundry.release import builders, versions
from laundry.release.making import Release
from laundry.release.repository import Repository
from laundry.release.versions import Version
from laundry_servers.errors import LaundryError
from tests.deploy import test_release
from tests.deploy.fake_docker import FakeDocker

repository, origin = test_release.repository, test_release.origin
light, docker = test_release.light, test_release.docker

VERSION = Version(0, 4, 0)
REGISTRY = "registry.example/laundry"
pytestmark = pytest.mark.usefixtures("light")


def release(repository: Repository) -> Release:
    return Release(VERSION, repository, REGISTRY, publish=True, say=lambda text: None)


def commit(repository: Repository, name: str) -> None:
    (repository.root / name).touch()
    repository.git("add", name)
    repository.git("commit", "--quiet", "--message", name)


def _moved(here: Repository, origin: Repository) -> None:
    """Somebody else pushed."""
    other = Repository(here.root.with_name("other"))
    here.git("clone", "--quiet", str(origin.root), str(other.root))
    for name in ("user.name", "user.email"):
        other.git("config", name, here.git("config", name))
    commit(other, "theirs")
    other.git("push", "--quiet", "origin", "HEAD")


def _detached(here: Repository, origin: Repository) -> None:
    here.git("checkout", "--quiet", "--detach")


def _tagged(here: Repository, origin: Repository) -> None:
    """Somebody else released it."""
    origin.git("tag", VERSION.tag)


def _away(here: Repository, origin: Repository) -> None:
    here.git("remote", "set-url", "origin", str(origin.root.with_name("nowhere.git")))


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (_moved, "origin has commits of main that are not here. Take them first: git pull"),
        (_detached, "HEAD is on no branch, so nothing says where the release goes."),
        (_tagged, "0.4.0 exists: origin has the tag v0.4.0."),
        (_away, "git ls-remote origin"),
    ],
)
def test_what_origin_would_not_take_is_refused_before_an_image_is_pushed(
    repository: Repository,
    origin: Repository,
    docker: FakeDocker,
    prepare: Callable[[Repository, Repository], None],
    sentence: str,
) -> None:
    prepare(repository, origin)
    with pytest.raises(LaundryError, match=re.escape(sentence)):
        release(repository).make()
    assert docker.calls == []
    assert repository.git("tag", "--list") == "v0.3.0"


def test_commits_that_origin_does_not_have_yet_are_pushed_with_the_release(
    repository: Repository, origin: Repository, docker: FakeDocker
) -> None:
    commit(repository, "ours")
    ours = repository.git("rev-parse", "HEAD")
    release(repository).make()
    assert origin.git("rev-parse", "main~1") == ours
    assert docker.calls


def test_after_a_push_that_origin_refused_the_same_release_is_made_again(
    repository: Repository, origin: Repository, docker: FakeDocker
) -> None:
    before = repository.git("rev-parse", "HEAD")
    hook = origin.root / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho this branch is closed >&2\nexit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(LaundryError, match=r"(?s)this branch is closed.*The images of 0\.4\.0 are at"):
        release(repository).make()
    assert repository.git("tag", "--list") == origin.git("tag", "--list") == "v0.3.0"
    assert repository.git("rev-parse", "HEAD") == origin.git("rev-parse", "main") == before
    assert repository.git("status", "--porcelain") == ""

    hook.unlink()
    release(repository).make()
    assert len([call for call in docker.calls if call.endswith("--push all")]) == 2
    made = repository.git("rev-parse", "HEAD")
    assert origin.git("rev-parse", "v0.4.0^{commit}") == origin.git("rev-parse", "main") == made != before
    assert {version for _, version in versions.said(repository.root)} == {"0.4.0"}


def test_a_commit_that_was_made_meanwhile_stays_and_the_release_is_out(
    repository: Repository, origin: Repository, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, images = release(repository), Release._images

    def built(self: Release, revision: str) -> None:
        images(self, revision)
        commit(repository, "meanwhile")

    monkeypatch.setattr(Release, "_images", built)
    made.make()
    assert origin.git("rev-parse", "v0.4.0^{commit}") == origin.git("rev-parse", "main")
    assert (repository.root / "meanwhile").exists()
    assert any("git merge v0.4.0" in text for text in made.not_done)


ABLE = "Driver:        docker-container\n\nPlatforms: linux/amd64*, linux/amd64/v2, linux/arm64\n"
DEFAULT = "Name:   default\nDriver:        docker\n\nPlatforms:        linux/amd64, linux/386\n"


@pytest.mark.parametrize(
    ("inspected", "store", "sentence"),
    [
        (ABLE, "[]", None),
        (ABLE.replace(", linux/arm64", ""), "[]", "has no linux/arm64. To emulate it: docker run"),
        (DEFAULT, '[["Backing Filesystem","extfs"]]', "One that does: docker buildx create --use"),
        # There the engine's own builder is able to, but for the platform.
        (DEFAULT, '[["driver-type","io.containerd.snapshotter.v1"]]', "binfmt --install arm64"),
        ("Driver: docker-container\nStatus: inactive\n", "[]", None),
        ("", "", None),
    ],
)
def test_what_a_builder_lacks_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inspected: str, store: str, sentence: str | None
) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\ncase $1 in info) echo '{store}' ;; *) echo '{inspected}' ;; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    said = builders.lacking(Tool(("docker", "buildx")))
    assert said is None if sentence is None else sentence in str(said)


def test_a_build_that_fails_says_what_the_builder_lacks(
    repository: Repository, origin: Repository, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.fail("*--push all")
    monkeypatch.setattr(builders, "lacking", lambda builder: "It is too small.")
    with pytest.raises(LaundryError, match=r"Nothing was tagged\. It is too small\."):
        release(repository).make()
