"""Where the programs, the images and a running cluster's files are."""

from dataclasses import dataclass
from pathlib import Path

from laundry_servers.rootfs import cache_folder

NODE_ADDRESS = "10.88.0.1"
# Of servers beside those at the first.
OTHER_ADDRESS = "10.88.0.2"
SECOND_NODE_ADDRESS = "10.88.0.3"
NAMESPACE = "laundry-kubernetes"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders below one that is kept between runs."""

    folder: Path

    @classmethod
    def usual(cls) -> "Places":
        """Those in the cache folder."""
        return cls(cache_folder() / "kubernetes")

    @property
    def root(self) -> Path:
        """Debian packages, unpacked and not installed."""
        return self.folder / "root"

    @property
    def kubernetes(self) -> Path:
        """All parts of Kubernetes in one program."""
        return self.folder / "bin" / "k8s"

    @property
    def pause(self) -> Path:
        """The image of each pod's first process."""
        return self.folder / "pause.tar"

    @property
    def images(self) -> Path:
        """The images of the chart."""
        return self.folder / "images.tar"

    @property
    def images_before(self) -> Path:
        """Those of the release before."""
        return self.folder / "images-before.tar"

    def store(self, node: str) -> Path:
        """The images that a node's containerd has taken."""
        return self.folder / "containerd" / node

    @property
    def pki(self) -> Path:
        """Keys, certificates and kubeconfigs."""
        return self.folder / "pki"

    @property
    def run(self) -> Path:
        """What one run of the cluster writes."""
        return self.folder / "run"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way into the API server."""
        return self.pki / "admin.kubeconfig"
