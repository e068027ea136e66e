"""What git says of the working tree, and whether it may be released."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from laundry.release import changelog, versions
from laundry.release.versions import Version
from laundry_servers.errors import LaundryError

CHART = "deploy/helm/laundry"
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Repository:
    """The working tree that a release is made from."""

    root: Path

    def git(self, *arguments: str) -> str:
        """Return what git says. Raises LaundryError with its own words."""
        try:
            done = subprocess.run(  # noqa: S603 - our own arguments
                ["git", *arguments],  # noqa: S607 - git of this machine
                cwd=self.root,
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise LaundryError(f"git {' '.join(arguments)}: no end within {SECONDS} s") from None
        if done.returncode != 0:
            raise LaundryError(f"git {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def released(self) -> list[Version]:
        """Return the versions that have a tag, the oldest first."""
        tags = self.git("tag", "--list", "v*").split()
        found = []
        for tag in tags:
            try:
                found.append(Version.parse(tag.removeprefix("v")))
            except LaundryError:
                continue
        return sorted(found)

    def refuse(self, version: Version) -> None:
        """Refuse a release that nobody could undo or explain.

        Raises:
            LaundryError: with a sentence that says why, and what to do.
        """
        if changed := self.git("status", "--porcelain").splitlines():
            raise LaundryError(
                f"The working tree has {len(changed)} changes that are not committed "
                f"(the first: {changed[0].strip()}). A release is made of a commit: commit or stash them."
            )
        text = (self.root / "CHANGELOG.md").read_text()
        released = self.released()
        if version in released:
            raise LaundryError(f"{version} exists: the tag {version.tag} is there. Choose a higher one.")
        if changelog.names(text, version):
            raise LaundryError(f"{version} exists: CHANGELOG.md has a section of it. Choose a higher one.")
        if newer := [each for each in released if each > version]:
            raise LaundryError(
                f"{version} is older than {newer[-1]}, which is released. Choose a higher one."
            )
        if version < (now := Version.parse(versions.current(self.root))):
            raise LaundryError(f"{version} is older than {now}, which the packages say. Choose a higher one.")
        changelog.unreleased(text)
        if released:
            self._refuse_an_old_chart(released[-1])

    def refuse_to_push(self, version: Version) -> str:
        """Refuse a release that origin would not take: its images would be out before that is known.

        Returns:
            The branch that it goes to, here and at origin.

        Raises:
            LaundryError: with a sentence that says why, and what to do.
        """
        try:
            branch = self.git("symbolic-ref", "--quiet", "--short", "HEAD")
        except LaundryError:
            raise LaundryError(
                "HEAD is on no branch, so nothing says where the release goes. Check out the branch first."
            ) from None
        head, tag = f"refs/heads/{branch}", f"refs/tags/{version.tag}"
        lines = self.git("ls-remote", "origin", head, tag).splitlines()
        there = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
        if tag in there:
            raise LaundryError(f"{version} exists: origin has the tag {version.tag}. Choose a higher one.")
        if head in there and not self._holds(there[head]):
            raise LaundryError(f"origin has commits of {branch} that are not here. Take them first: git pull")
        # Whether this person may push at all.
        self.git("push", "--dry-run", "--quiet", "origin", f"HEAD:{head}")
        return branch

    def _holds(self, commit: str) -> bool:
        """Whether HEAD comes after a commit; one that is not here at all is a stranger's."""
        try:
            self.git("merge-base", "--is-ancestor", commit, "HEAD")
        except LaundryError:
            return False
        return True

    def _refuse_an_old_chart(self, last: Version) -> None:
        """A chart of one version never has two contents, and its appVersion is another with each release."""
        now = _chart_version((self.root / CHART / "Chart.yaml").read_text())
        if now == _chart_version(self.git("show", f"{last.tag}:{CHART}/Chart.yaml")):
            raise LaundryError(
                f"The chart is {now} still, as in {last.tag}. Raise `version` in Chart.yaml, and say in the "
                "chart's CHANGELOG.md what changed, if only the images."
            )


def _chart_version(text: str) -> str:
    [found] = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("version:")]
    return found
