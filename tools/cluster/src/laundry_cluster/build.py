"""The programs of a Kubernetes, from Debian's source of it: packages are unpacked aside, none is installed.

No image registry and no newer source is needed. Debian 12 is the last that has the source of the API server,
in version 1.20.2, and of Go in the version that builds it.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path

from laundry_cluster.archive import Image, Layer, write
from laundry_cluster.places import Places
from laundry_servers.errors import LaundryError
from laundry_servers.programs import run
from laundry_servers.progress import Progress

SUITE = "bookworm"
VERSION = "1.20.2"
SOURCE = "kubernetes=1.20.5+really1.20.2-1.1+deb12u1"
COMPILER = "1.19"
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
PACKAGES = (
    *("golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev"),
    *("etcd-server", "containerd", "runc", "containernetworking-plugins", "kubernetes-client"),
    *("iptables", "conntrack", "libxtables12", "libip4tc2", "libip6tc2", "libnetfilter-conntrack3"),
    *("libnfnetlink0", "libmnl0", "libnftnl11", "libseccomp2"),
)
TABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
COMPILE_S = 3600
GO = Path(__file__).parent / "go"
PAUSE_IMAGE = "localhost/pause:1"
# Packages that speak of nothing that this cluster's API tells.
NO_API = re.compile(r"^vendor/k8s\.io/(code-generator|sample-apiserver|kube-openapi)/|_examples|/test/")
# A pod that ended goes when the last of its containers is collected, which is a constant in the kubelet: what
# waits for pods to go would wait for up to a minute each time.
KUBELET = "pkg/kubelet/kubelet.go"
COLLECTION = ("ContainerGCPeriod = time.Minute\n", "ContainerGCPeriod = 3 * time.Second\n")


def ensure(places: Places, progress: Progress) -> None:
    """Make the programs unless they are there, made as this file says; two to four minutes on two cores.

    Raises:
        LaundryError: the machine is not Debian with its mirror, or something failed.
    """
    made_of = hashlib.sha256(b"".join(file.read_bytes() for file in (Path(__file__), *sorted(GO.iterdir()))))
    note = places.folder / "kubernetes.sha256"
    work = _Work(places.folder)
    if not note.exists() or note.read_text() != made_of.hexdigest():
        work.discard()
    elif places.kubernetes.exists() and places.pause.exists():
        return
    if not SOURCES.exists():
        raise LaundryError(f"A cluster is built from Debian's packages, and {SOURCES} is not here.")
    places.folder.mkdir(parents=True, exist_ok=True)
    note.write_text(made_of.hexdigest())
    progress.started("packages")
    work.fetch()
    progress.finished("packages")
    progress.started("Kubernetes")
    progress.note("Kubernetes", f"compiling {VERSION}; this is done once")
    work.compile(places.kubernetes)
    progress.finished("Kubernetes")
    write(
        places.pause,
        [Layer(work.pause(), "pause")],
        [Image(PAUSE_IMAGE, entrypoint=("/pause",), user="65535:65535")],
    )
    work.clear()


class _Work:
    """The folders in which it is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, self.packages = folder / "root", folder / "debs"
        self.source = folder / "gopath/src/k8s.io/kubernetes"
        compiler = self.root / "usr/lib" / f"go-{COMPILER}"
        self.environment = {
            "APT_CONFIG": str(folder / "apt/apt.conf"),
            "GOROOT": str(compiler),
            "GOPATH": str(folder / "gopath"),
            "GOCACHE": str(folder / "gocache"),
            "GO111MODULE": "off",
            "GOFLAGS": "",
            "CGO_ENABLED": "0",
            # Memory for time: the compiler's own collector took a twentieth.
            "GOGC": "400",
            "PATH": f"{compiler / 'bin'}:{os.environ['PATH']}",
        }

    def fetch(self) -> None:
        """Unpack the packages, and the source with Debian's patches."""
        self._configure()
        self.packages.mkdir(exist_ok=True)
        run(["apt-get", "-qq", "update"], env=self.environment)
        run(["apt-get", "-qq", "download", *PACKAGES], cwd=self.packages, env=self.environment)
        for package in sorted(self.packages.glob("*.deb")):
            run(["dpkg-deb", "-x", package, self.root])
        tables = self.root / "xtbin"
        tables.mkdir(exist_ok=True)
        for name in TABLES:
            (tables / name).unlink(missing_ok=True)
            (tables / name).symlink_to("../usr/sbin/xtables-nft-multi")
        if not self.source.exists():
            self._unpack_source()

    def _configure(self) -> None:
        """Let apt look at one suite of this machine's mirror, with a state of its own."""
        apt = self.folder / "apt"
        for part in (
            *("etc/sources.list.d", "etc/apt.conf.d", "etc/preferences.d"),
            *("state/lists/partial", "cache/archives/partial"),
        ):
            (apt / part).mkdir(parents=True, exist_ok=True)
        uri, key = (_field(SOURCES.read_text(), name) for name in ("URIs", "Signed-By"))
        (apt / "etc/sources.list.d/source.sources").write_text(
            f"Types: deb deb-src\nURIs: {uri}\nSuites: {SUITE}\nComponents: main\nSigned-By: {key}\n"
        )
        (apt / "apt.conf").write_text(
            f'Dir::Etc "{apt}/etc"; Dir::State "{apt}/state"; Dir::Cache "{apt}/cache";\n'
            'Dir::State::status "/var/lib/dpkg/status"; Acquire::Languages "none";\n'
            'Acquire::Check-Valid-Until "false"; APT::Sandbox::User "root";\n'
        )

    def _unpack_source(self) -> None:
        run(["apt-get", "-qq", "source", "--download-only", SOURCE], cwd=self.packages, env=self.environment)
        [original] = self.packages.glob("kubernetes_*.orig.tar.gz")
        [debian] = self.packages.glob("kubernetes_*.debian.tar.xz")
        draft = self.source.with_name("kubernetes.new")
        draft.mkdir(parents=True, exist_ok=True)
        run(["tar", "xf", original, "-C", draft, "--strip-components=1"])
        run(["tar", "xf", debian, "-C", self.packages])
        patches = self.packages / "debian/patches"
        for line in (patches / "series").read_text().splitlines():
            if line and not line.startswith("#"):
                run(["patch", "-s", "-p1", "-d", draft, "-i", patches / line])
        # Its copy of reflect2 walks maps as an older Go laid them out, and the API server dies of it.
        old = draft / "vendor/github.com/modern-go/reflect2"
        new = self.root / "usr/share/gocode/src/github.com/modern-go/reflect2"
        for file in [*old.glob("*.go"), *old.glob("*.s")]:
            file.unlink()
        for file in [*new.glob("*.go"), *new.glob("*.s")]:
            shutil.copy(file, old)
        kubelet = draft / KUBELET
        was, text = COLLECTION[0], kubelet.read_text()
        if text.count(was) != 1:
            raise LaundryError(f"{KUBELET} of {SOURCE} does not have {was.strip()!r} once.")
        kubelet.write_text(text.replace(*COLLECTION))
        program = draft / "cmd/k8s"
        program.mkdir(exist_ok=True)
        shutil.copy(GO / "kubernetes.go", program / "main.go")
        draft.rename(self.source)

    def compile(self, to: Path) -> None:
        """Compile all parts into one program."""
        vendor = "k8s.io/kubernetes/vendor/k8s.io"
        self._describe_api()
        told = ("gitVersion=v" + VERSION, "gitMajor=1", "gitMinor=20")
        flags = [
            f"-X {vendor}/{package}.{each}"
            for package in ("component-base/version", "client-go/pkg/version")
            for each in told
        ]
        tags = "selinux,notest,providerless,dockerless"
        self._go("build", "-tags", tags, "-ldflags", " ".join(["-s", "-w", *flags]), "-o", to,
                 "k8s.io/kubernetes/cmd/k8s")  # fmt: skip

    def _describe_api(self) -> None:
        """Make the one generated file that the source lacks: the description of the API."""
        if (self.source / "pkg/generated/openapi/zz_generated.openapi.go").exists():
            return
        generator = self.folder / "bin/openapi-gen"
        self._go("build", "-o", generator, "k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen")
        found = {
            file.parent.relative_to(self.source).as_posix()
            for top in ("vendor/k8s.io", "pkg", "cmd", "plugin")
            for file in (self.source / top).rglob("*.go")
            if b"+k8s:openapi-gen=" in file.read_bytes()
        }
        staging = self.source / "staging/src/k8s.io"
        found |= {
            f"vendor/k8s.io/{file.parent.relative_to(staging).as_posix()}"
            for file in staging.rglob("*.go")
            if b"+k8s:openapi-gen=" in file.read_bytes()
        }
        inputs = sorted(f"k8s.io/kubernetes/{each}" for each in found if not NO_API.search(f"{each}/"))
        package = "k8s.io/kubernetes/pkg/generated/openapi"
        licence = "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"
        run(
            [
                *(generator, "--logtostderr", "-i", ",".join(inputs), "-p", package),
                *("-O", "zz_generated.openapi", "-h", licence, "-r", self.folder / "violations"),
            ],
            cwd=self.source,
            env=self.environment,
            timeout_s=COMPILE_S,
        )

    def pause(self) -> Path:
        """Compile the first process of each pod."""
        to = self.folder / "bin/pause"
        self._go("build", "-ldflags", "-s -w", "-o", to, GO / "pause.go")
        return to

    def _go(self, *arguments: str | Path) -> None:
        run(["nice", "go", *arguments], cwd=self.source, env=self.environment, timeout_s=COMPILE_S)

    def discard(self) -> None:
        """Remove all that was made, and what was left half made."""
        self.clear()
        for folder in (self.folder / "bin", self.root):
            shutil.rmtree(folder, ignore_errors=True)
        (self.folder / "pause.tar").unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what is not needed to run it."""
        for folder in ("gocache", "gopath", "debs", "apt"):
            shutil.rmtree(self.folder / folder, ignore_errors=True)
        (self.folder / "violations").unlink(missing_ok=True)
        for folder in (f"lib/go-{COMPILER}", f"share/go-{COMPILER}", "share/gocode"):
            shutil.rmtree(self.root / "usr" / folder, ignore_errors=True)
        for program in ("openapi-gen", "pause"):
            (self.folder / "bin" / program).unlink(missing_ok=True)


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}: *(\S+)", text, re.MULTILINE)
    if found is None:
        raise LaundryError(f"{SOURCES} has no {name}.")
    return found[1]
