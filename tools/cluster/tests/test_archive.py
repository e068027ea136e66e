"""Images without a container engine."""

import json
import tarfile
from pathlib import Path

from laundry_cluster.archive import Image, Layer, write


def test_images_share_their_layers_and_leave_out_what_is_said(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "tmp").mkdir()
    (root / "etc/hosts").write_text("here")
    (root / "tmp/secret").write_text("s")
    archive = tmp_path / "images.tar"
    (tmp_path / "more").mkdir()
    more = Layer(tmp_path / "more", "/opt")
    images = [
        Image("one:1", command=("a",), user="1:1"),
        Image("two:1", entrypoint=("/b",)),
        Image("three:1", layers=(more,)),
    ]
    write(archive, [Layer(root, "/", without=("/tmp/",))], images)
    with tarfile.open(archive) as tar:

        def document(name: str) -> dict[str, object]:
            file = tar.extractfile(name)
            assert file is not None
            return dict(json.load(file))

        index = document("index.json")
        manifests = index["manifests"]
        assert isinstance(manifests, list)
        assert [each["annotations"]["io.containerd.image.name"] for each in manifests] == [
            *("one:1", "two:1", "three:1"),
        ]
        layers = [
            document(f"blobs/sha256/{each['digest'].removeprefix('sha256:')}")["layers"] for each in manifests
        ]
        assert layers[0] == layers[1]
        assert isinstance(layers[0], list)
        assert isinstance(layers[2], list)
        assert layers[2][0] == layers[0][0]
        assert len(layers[2]) == len(layers[0]) + 1
        blob = tar.extractfile(f"blobs/sha256/{layers[0][0]['digest'].removeprefix('sha256:')}")
        assert blob is not None
        with tarfile.open(fileobj=blob) as layer:
            names = {name.removeprefix("./") for name in layer.getnames()}
            assert "etc/hosts" in names
            assert not any("secret" in name for name in names)
            assert {(each.uid, each.gid) for each in layer} == {(0, 0)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.tar", "more", "root"]


def test_what_is_made_and_removed_beside_it_leaves_a_layer_the_same(tmp_path: Path) -> None:
    root, digests = tmp_path / "root", set()
    root.mkdir()
    (root / "file").write_text("f")
    for name in ("a.tar", "b.tar"):
        (root / name).mkdir()
        (root / name).rmdir()
        write(tmp_path / name, [Layer(root, "/")], [])
        with tarfile.open(tmp_path / name) as tar:
            digests.add(tuple(each for each in tar.getnames() if each.startswith("blobs")))
    assert len(digests) == 1
