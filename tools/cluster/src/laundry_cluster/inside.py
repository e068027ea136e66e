"""Process 1 of the cluster's own namespaces: mounts what the parts expect, and starts them.

Run by ``node`` with the interpreter alone, as nothing else is installed there: inside.py FOLDER ADDRESS
ADDRESS, one for each node. For the second it runs itself in more namespaces, with the argument "second".
"""

import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
# What the kubelet sets for the whole machine if it has to: it finds these set, here only.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# Places outside the cluster's folder that its parts insist on.
INSISTED = (
    "/run/netns",
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/usr/libexec/kubernetes",
)
ALL_PODS = "10.89.0.0/16"
PODS = ("10.89.0.0/24", "10.89.1.0/24")
SERVICES = "10.96.0.0/16"
READY_S = 90.0
# Where the second node's pods are counted, below the cluster's own branch.
SECOND = "node-2"
FEATURES = "--feature-gates=TTLAfterFinished=true"


class Node:
    """A node; the first has the control plane, too."""

    def __init__(self, folder: Path, addresses: tuple[str, str], number: int = 1) -> None:
        self.folder, self.addresses, self.number = folder, addresses, number
        self.name, self.address = f"node-{number}", addresses[number - 1]
        self.root, self.pki = folder / "root", folder / "pki"
        self.run = folder / "run" if number == 1 else folder / "run" / self.name
        # As ``Places.store``: images stay for the next cluster.
        self.store = folder / "containerd" / self.name
        self.kubernetes = folder / "bin/k8s"
        path = [self.root / "xtbin", self.root / "usr/sbin", self.root / "usr/bin"]
        libraries = self.root / "usr/lib/x86_64-linux-gnu"
        self.environment = {
            **os.environ,
            "PATH": ":".join([*map(str, path), os.environ["PATH"]]),
            "LD_LIBRARY_PATH": str(libraries),
            "XTABLES_LIBDIR": str(libraries / "xtables"),
        }

    def mount(self) -> None:
        """Give the namespaces their own /proc, cgroups, sysctls and name server, which both nodes share."""
        _do("mount", "-t", "proc", "proc", "/proc")
        groups = Path("/sys/fs/cgroup")
        _do("mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", groups)
        for controller in CONTROLLERS:
            (groups / controller).mkdir()
            _do("mount", "-t", "cgroup", "-o", controller, "cgroup", groups / controller)
            (groups / controller / SECOND).mkdir(exist_ok=True)
        (groups / "systemd").mkdir()
        _do("mount", "-t", "cgroup", "-o", "none,name=systemd", "cgroup", groups / "systemd")
        (groups / "systemd" / SECOND).mkdir(exist_ok=True)
        (self.run / "sysctl").mkdir(parents=True, exist_ok=True)
        for name, value in SYSCTLS.items():
            file = self.run / "sysctl" / Path(name).name
            file.write_text(f"{value}\n")
            _do("mount", "--bind", file, f"/proc/sys/{name}")
        resolver = self.run / "resolv.conf"
        resolver.write_text(f"nameserver {self.address}\n")
        _do("mount", "--bind", resolver, "/etc/resolv.conf")

    def furnish(self) -> None:
        """Give the node its own logs and what its parts insist on elsewhere."""
        self.store.mkdir(parents=True, exist_ok=True)
        for name in ("etcd", "kubelet", "state", "pods", "cni", "plugins", "log"):
            (self.run / name).mkdir(parents=True, exist_ok=True)
        _do("mount", "--bind", self.run / "pods", "/var/log")
        for place in INSISTED:
            Path(place).mkdir(parents=True, exist_ok=True)
            _do("mount", "-t", "tmpfs", "-o", "mode=755", "private", place)
        _do("mount", "--make-rshared", "/")

    def connect(self) -> None:
        """Give the node its address, and ways to the other and its pods."""
        first, second = self.addresses
        _do("ip", "link", "set", "lo", "up")
        if self.number == 1:
            _do("ip", "link", "add", "node0", "type", "bridge")
        else:
            _do("ip", "link", "add", "node0", "type", "veth", "peer", "name", self.name, "netns", "1")
            _do("nsenter", "--net=/proc/1/ns/net", "ip", "link", "set", self.name, "master", "node0", "up")
        _do("ip", "addr", "add", f"{self.address}/24", "dev", "node0")
        _do("ip", "link", "set", "node0", "up")
        if self.number == 1:
            # Services' addresses need a route, though it leads nowhere.
            _do("ip", "route", "add", "default", "dev", "node0")
            _do("ip", "route", "add", PODS[1], "via", second)
        else:
            _do("ip", "route", "add", "default", "via", first)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def begin(self, name: str, *command: str | Path) -> None:
        """Start a part; what it says goes to a file of its name."""
        with (self.run / "log" / f"{name}.log").open("wb") as log:
            subprocess.Popen(  # noqa: S603
                [str(part) for part in command], env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )

    def part(self, name: str, *flags: str) -> None:
        """Start a part of Kubernetes."""
        self.begin(name, self.kubernetes, name, *flags)

    def control(self) -> None:
        """Start etcd and the control plane."""
        pki, here = self.pki, "http://127.0.0.1"
        self.begin(
            "etcd", "etcd", "--data-dir", self.run / "etcd",
            f"--listen-client-urls={here}:2379", f"--advertise-client-urls={here}:2379",
            f"--listen-peer-urls={here}:2380",
        )  # fmt: skip
        more = os.environ.get("MORE_ADMISSION")
        admission = f"NodeRestriction,{more}" if more else "NodeRestriction"
        self.part(
            "kube-apiserver", f"--etcd-servers={here}:2379", f"--advertise-address={self.address}",
            f"--bind-address={self.address}", "--secure-port=6443", f"--service-cluster-ip-range={SERVICES}",
            f"--client-ca-file={pki}/ca.crt", f"--tls-cert-file={pki}/api.crt",
            f"--tls-private-key-file={pki}/api.key", f"--cert-dir={self.run}/api",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/tokens.pub",
            f"--service-account-signing-key-file={pki}/tokens.key",
            f"--kubelet-client-certificate={pki}/admin.crt", f"--kubelet-client-key={pki}/admin.key",
            f"--kubelet-certificate-authority={pki}/ca.crt", "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC", f"--enable-admission-plugins={admission}",
            "--allow-privileged=true", FEATURES,
        )  # fmt: skip
        _await(self._api_answers, "the API server")
        for name, user, flags in (
            (
                "kube-controller-manager",
                "controllers",
                (
                    f"--root-ca-file={pki}/ca.crt",
                    f"--service-account-private-key-file={pki}/tokens.key",
                    "--use-service-account-credentials",
                    f"--cluster-signing-cert-file={pki}/ca.crt",
                    f"--cluster-signing-key-file={pki}/ca.key",
                    "--allocate-node-cidrs=false",
                    "--horizontal-pod-autoscaler-sync-period=2s",
                    FEATURES,
                ),
            ),
            ("kube-scheduler", "scheduler", ()),
        ):
            login = f"kubeconfig={pki}/{user}.kubeconfig"
            self.part(
                name, f"--{login}", f"--authentication-{login}", f"--authorization-{login}",
                "--bind-address=127.0.0.1", "--leader-elect=false", f"--cert-dir={self.run}/{user}", *flags,
            )  # fmt: skip

    def _api_answers(self) -> bool:
        context = ssl.create_default_context(cafile=f"{self.pki}/ca.crt")
        context.load_cert_chain(f"{self.pki}/admin.crt", f"{self.pki}/admin.key")
        address = f"https://{self.address}:6443/readyz"
        try:
            with urllib.request.urlopen(address, timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def work(self) -> None:
        """Start what runs pods: containerd, kubelet and the proxy of Services."""
        values = {
            "run": self.run,
            "store": self.store,
            "root": self.root,
            "pki": self.pki,
            "name": self.name,
            "address": self.address,
            "names": self.addresses[0],
            "group": "/" if self.number == 1 else f"/{SECOND}",
            "pods": PODS[self.number - 1],
            "all-pods": ALL_PODS,
        }
        for name, to in (
            ("pods.conflist", self.run / "cni/10-pods.conflist"),
            ("containerd.toml", self.run / "containerd.toml"),
            ("kubelet.yaml", self.run / "kubelet.yaml"),
            ("proxy.yaml", self.run / "proxy.yaml"),
        ):
            text = (HERE / "node" / name).read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", str(value))
            to.write_text(text)
        socket = self.run / "containerd.sock"
        self.begin("containerd", "containerd", "--config", self.run / "containerd.toml")
        ctr = ("ctr", "-a", str(socket), "-n", "k8s.io")
        _await(lambda: self._succeeds(*ctr, "version"), "containerd")
        if not self._succeeds(*ctr, "images", "import", str(self.folder / "pause.tar")):
            sys.exit("the image of each pod's first process was not taken")
        self.part(
            "kubelet", f"--config={self.run}/kubelet.yaml",
            f"--kubeconfig={self.pki}/kubelet-{self.number}.kubeconfig",
            f"--hostname-override={self.name}", f"--node-ip={self.address}", f"--root-dir={self.run}/kubelet",
            f"--cert-dir={self.run}/node", "--container-runtime=remote",
            f"--container-runtime-endpoint=unix://{socket}", "--network-plugin=cni",
            # The second gets no pods before somebody wants it to.
            f"--register-schedulable={str(self.number == 1).lower()}",
        )  # fmt: skip
        self.part("kube-proxy", f"--config={self.run}/proxy.yaml")

    def answer(self) -> None:
        """Start what answers for the names of Services."""
        self.begin("names", sys.executable, HERE / "names.py", self.address, self.pki)

    def _succeeds(self, *command: str) -> bool:
        done = subprocess.run(  # noqa: S603
            command, env=self.environment, capture_output=True, timeout=60, check=False
        )
        return done.returncode == 0


def _do(*command: str | Path, within_s: float = 30) -> None:
    subprocess.run([str(part) for part in command], check=True, timeout=within_s)  # noqa: S603


def _await(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what} did not answer within {READY_S:g} s")
        time.sleep(0.2)


def main() -> None:
    """Start everything, and bury whoever ends."""
    folder, addresses = Path(sys.argv[1]), (sys.argv[2], sys.argv[3])
    if sys.argv[4:] == ["second"]:
        node = Node(folder, addresses, 2)
        node.furnish()
        node.connect()
        node.work()
        return
    node = Node(folder, addresses)
    node.mount()
    node.furnish()
    node.connect()
    node.control()
    node.work()
    node.answer()
    own = ("unshare", "--mount", "--net", "--propagation", "private")
    # Ends when the second node's parts have started, which stay.
    _do(*own, sys.executable, __file__, *sys.argv[1:], "second", within_s=READY_S)
    (node.run / "started").touch()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


if __name__ == "__main__":
    main()
