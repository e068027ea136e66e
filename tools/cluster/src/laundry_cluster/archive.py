"""OCI archives without a container engine: folders become layers, and images share them."""

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class Layer:
    """A file or folder, where it is in the image, and what of it is left out (paths in the image)."""

    source: Path
    target: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """A name, how its containers start, and what it has beyond the layers of all."""

    name: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    user: str = ""
    folder: str = ""
    layers: tuple[Layer, ...] = ()


def write(to: Path, layers: Sequence[Layer], images: Sequence[Image]) -> None:
    """Write an archive of images that all have these layers."""
    draft = to.with_suffix(".draft")
    with tarfile.open(draft, "w") as archive:
        _put(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        packed = [_packed(archive, layer, to.parent) for layer in layers]
        manifests = [
            _image(archive, image, [*packed, *(_packed(archive, layer, to.parent) for layer in image.layers)])
            for image in images
        ]
        _put(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())
    draft.rename(to)


def _packed(archive: tarfile.TarFile, layer: Layer, folder: Path) -> dict[str, Any]:
    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if f"/{member.name.removeprefix('./')}".startswith(layer.without) and layer.without:
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        # What was made and removed beside a file is nothing that tells one layer from another.
        if member.isdir():
            member.mtime = 0
        return member

    with tempfile.NamedTemporaryFile(dir=folder, suffix=".layer") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.add(layer.source, layer.target.lstrip("/") or ".", filter=owned_by_root)
        file.flush()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        file.seek(0)
        member = tarfile.TarInfo(f"blobs/sha256/{digest}")
        member.size, member.mode = size, 0o644
        archive.addfile(member, file)
    return {"mediaType": TAR, "digest": f"sha256:{digest}", "size": size}


def _image(archive: tarfile.TarFile, image: Image, layers: list[dict[str, Any]]) -> dict[str, Any]:
    config = {
        "architecture": "amd64",
        "os": "linux",
        # Layers that are not compressed are known by the same digests.
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        "config": {
            "Env": image.environment,
            "Cmd": image.command,
            "Entrypoint": image.entrypoint,
            "User": image.user,
            "WorkingDir": image.folder,
        },
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, **_blob(archive, config)},
        "layers": layers,
    }
    names = dict.fromkeys(("io.containerd.image.name", "org.opencontainers.image.ref.name"), image.name)
    return {"mediaType": MANIFEST, **_blob(archive, manifest), "annotations": names}


def _blob(archive: tarfile.TarFile, document: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(document).encode()
    digest = hashlib.sha256(content).hexdigest()
    _put(archive, f"blobs/sha256/{digest}", content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))
