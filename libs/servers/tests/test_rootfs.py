"""The broker's root file system: where it comes from, and that it is made once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from laundry_servers import rootfs


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "# comment\ndeb [arch=amd64] http://mirror.example/debian bookworm main\n"),
        ("sources.list.d/x.list", "deb http://mirror.example/debian/ bookworm main\n"),
        ("sources.list.d/debian.sources", "Types: deb\nURIs: http://mirror.example/debian\nSuites: x\n"),
    ],
)
def test_the_mirror_is_the_machines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.delenv("LAUNDRY_DEBIAN_MIRROR", raising=False)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "a-vendor.list").write_text("deb https://vendor.example/apt stable main\n")
    (tmp_path / name).write_text(text)
    assert rootfs.debian_mirror(tmp_path) == "http://mirror.example/debian"


def test_a_mirror_can_be_named_and_is_left_to_mmdebstrap_where_apt_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAUNDRY_DEBIAN_MIRROR", raising=False)
    (tmp_path / "sources.list").write_text("deb http://mirror.example/ubuntu noble main\n")
    assert rootfs.debian_mirror(tmp_path) is None
    monkeypatch.setenv("LAUNDRY_DEBIAN_MIRROR", "http://mirror.example/debian/")
    assert rootfs.debian_mirror(tmp_path) == "http://mirror.example/debian"


BUILDER = """
import time
from laundry_servers.progress import Quiet
from laundry_servers import rootfs

def build(target, progress):
    with (target.parent / "builds").open("a") as file:
        file.write("one\\n")
    time.sleep(0.5)
    target.mkdir()

rootfs._build = build
rootfs.rabbitmq_version = lambda root: "4.3.0"
print(rootfs.ensure(Quiet()))
"""


def test_builders_at_the_same_time_make_one_root_file_system(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    builders = [
        subprocess.Popen([sys.executable, "-c", BUILDER], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {builder.communicate(timeout=60)[0].strip() for builder in builders}
    assert said == {str(tmp_path / "laundry" / rootfs.root_path().name)}
    assert (tmp_path / "laundry" / "builds").read_text() == "one\n"
