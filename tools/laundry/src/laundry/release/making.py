"""Makes a release in a copy of the commit: unless asked, nothing is tagged or leaves the machine."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

from laundry.deploy import engine, images, tools
from laundry.release import artefacts, builders, changelog, versions
from laundry.release.repository import Repository
from laundry.release.versions import Version
from laundry_servers.errors import LaundryError

BUILD_SECONDS = 7200
BAKE = "deploy/docker/bake.json"
Say = Callable[[str], None]


@dataclass
class Release:
    """One release; what it makes lies in ``folder``.

    Attributes:
        registry: where images go, such as ``registry.example/laundry``.
        publish: push images, commit and tag; else all of it stays in ``folder``.
        not_done: what could not be done here, each with its reason.
    """

    version: Version
    repository: Repository
    registry: str = "laundry"
    publish: bool = False
    say: Say = print
    not_done: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where the files of this release lie."""
        return self.repository.root / "build" / "release" / str(self.version)

    @property
    def source(self) -> Path:
        """The copy of the commit, with the version in it and committed."""
        return self.folder / "source"

    def make(self) -> None:
        """Make it.

        Raises:
            LaundryError: it is refused, or something failed; nothing was tagged then.
        """
        started = datetime.now(UTC)
        self.repository.refuse(self.version)
        branch = self._refuse_to_publish() if self.publish else None
        self._copy()
        commit = self._commit(started)
        files = [*self._files()]
        origin = artefacts.Origin(
            version=str(self.version),
            commit=commit,
            repository=self._address(),
            lock=(self.source / "requirements.lock").read_bytes(),
            started=started,
            finished=datetime.now(UTC),
        )
        files.append(artefacts.write_provenance(self.folder, files, origin))
        (self.folder / artefacts.SUMS).write_text(artefacts.checksums(files))
        self.say(f"{artefacts.SUMS}, {artefacts.PROVENANCE}: of {len(files)} files")
        self._images(commit)
        if branch is not None:
            self._publish(branch)
        else:
            self.not_done.append(f"not tagged, not pushed: PUBLISH=1 does ({self.version.tag})")
        self.not_done.append("nothing is signed: there is no key and no identity for it here (cosign)")

    def _refuse_to_publish(self) -> str:
        """Return the branch that is pushed to. Raises LaundryError if that would fail once images are out."""
        if "/" not in self.registry:
            raise LaundryError(
                "PUBLISH=1 pushes images: say where to with REGISTRY=registry.example/laundry."
            )
        if (missing := engine.missing()) is not None:
            raise LaundryError(f"PUBLISH=1 pushes images, and {missing}.")
        return self.repository.refuse_to_push(self.version)

    def _copy(self) -> None:
        rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.repository.git("clone", "--quiet", "--shared", ".", str(self.source))
        Repository(self.source).git("checkout", "--quiet", "-B", self._branch, self._head())

    @property
    def _branch(self) -> str:
        return f"release-{self.version}"

    def _head(self) -> str:
        return self.repository.git("rev-parse", "HEAD")

    def _commit(self, started: datetime) -> str:
        """Write version and changelog into the copy, and commit them there."""
        written = versions.write(self.source, self.version)
        log = self.source / "CHANGELOG.md"
        notes = changelog.unreleased(log.read_text())
        log.write_text(changelog.cut(log.read_text(), self.version, started.date()))
        (self.folder / artefacts.NOTES).write_text(f"# {self.version}\n\n{notes}\n")
        self.say(f"{self.version} in {len(written)} files, and its section in CHANGELOG.md")
        copy = Repository(self.source)
        copy.git("add", "--all")
        who = [f"{name}={self.repository.git('config', name)}" for name in ("user.name", "user.email")]
        options = [part for each in who for part in ("-c", each)]
        copy.git(*options, "commit", "--quiet", "--message", f"Release {self.version}")
        return copy.git("rev-parse", "HEAD")

    def _files(self) -> Iterator[Path]:
        yield self.folder / artefacts.NOTES
        packaged = artefacts.chart(self.source, self.folder)
        if packaged is None:
            self.not_done.append("no chart package: helm is missing, and npm to get it")
        else:
            self.say(f"{packaged.name}: the chart")
            yield packaged
        yield (made := artefacts.bill_of_materials(self.source, self.folder))
        self.say(f"{made.name}: CycloneDX, of what the images hold besides the base image's own")
        yield (made := artefacts.licences(self.folder, sys.executable))
        self.say(f"{made.name}: licences and their texts")

    def _address(self) -> str:
        try:
            return self.repository.git("remote", "get-url", "origin")
        except LaundryError:
            return "unknown"

    def _images(self, commit: str) -> None:
        builder = tools.buildx(fetch=True)
        platforms = [part for each in images.PLATFORMS for part in ("--set", f"*.platform={each}")]
        attested = ["--sbom=true", "--provenance=mode=max"]
        command = [
            "bake",
            "--file",
            BAKE,
            *platforms,
            *attested,
            *(["--push"] if self.publish else []),
            "all",
        ]
        given = {"REGISTRY": self.registry, "VERSION": str(self.version), "REVISION": commit}
        shown = [f"{name}={value}" for name, value in given.items()]
        reason = engine.missing()
        if builder is None:
            reason = "docker buildx is missing, and apt to get it"
        elif (
            read := tools.Tool(builder.command, given).run([*command, "--print"], cwd=self.source)
        ).returncode:
            raise LaundryError(f"{BAKE}: {read.stderr.strip()[-1500:]}")
        if builder is None or reason is not None:
            self.not_done.append(
                f"no images: {reason}. In {self.source}: {shlex.join([*shown, 'docker', 'buildx', *command])}"
            )
            return
        self.say(f"images for {', '.join(images.PLATFORMS)}, with BuildKit's own SBOM and provenance")
        done = subprocess.run(  # noqa: S603 - our own command
            [*builder.command, *command],
            cwd=self.source,
            env={**os.environ, **given},
            timeout=BUILD_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            said = ["docker buildx could not build the images; see above. Nothing was tagged."]
            if (lacking := builders.lacking(builder)) is not None:
                said.append(lacking)
            raise LaundryError(" ".join(said))

    def _publish(self, branch: str) -> None:
        """Tag the copy's commit and push both, then take it over here.

        The last steps, as nobody can undo them quietly. Unless origin takes it, nothing is left here that
        would refuse another try.
        """
        git, tag = self.repository.git, self.version.tag
        git("fetch", "--quiet", str(self.source), self._branch)
        commit = git("rev-parse", "FETCH_HEAD")
        git("tag", "--annotate", tag, "--message", f"Release {self.version}", commit)
        try:
            git("push", "--quiet", "--atomic", "origin", f"{commit}:refs/heads/{branch}", f"refs/tags/{tag}")
        except BaseException as error:
            git("tag", "--delete", tag)
            if isinstance(error, LaundryError):
                raise LaundryError(
                    f"origin did not take the release: {error}\nThe images of {self.version} are at "
                    f"{self.registry}, and nothing is tagged. Run the same again once origin takes it."
                ) from error
            raise
        self.say(f"pushed {tag}, and the images to {self.registry}")
        try:
            git("merge", "--quiet", "--ff-only", commit)
        except LaundryError:
            self.not_done.append(f"not taken over here, where something changed meanwhile: git merge {tag}")
