"""What a release says its images hold: as their Python has it, on each platform, whoever makes it."""

from importlib import metadata
from pathlib import Path

import pytest

from laundry.deploy import images
from laundry.paths import PROJECT
from laundry.release import artefacts, shipped
from laundry_servers.errors import LaundryError

LOCK = r"""colorama==0.4.6 ; sys_platform == 'win32' \
    --hash=sha256:aa
greenlet==3.3.0 ; platform_machine == 'aarch64' and python_full_version < '3.14' \
    --hash=sha256:bb
numpy==2.4.6 ; python_full_version < '3.12' \
    --hash=sha256:cc
numpy==2.5.5 ; python_full_version >= '3.12' \
    --hash=sha256:dd \
    --hash=sha256:ee
psycopg-binary==3.3.9 ; implementation_name != 'pypy' \
    --hash=sha256:ff
pyjwt[crypto]==2.10.1 \
    --hash=sha256:00
tomli==2.0 ; python_version < '3.11' \
    --hash=sha256:11
"""


def test_of_several_versions_only_that_of_the_images_python_is_named() -> None:
    lines = shipped.lines_of_lock(LOCK, ["NumPy", "psycopg.binary", "PyJWT"]).splitlines()
    assert [line.split()[0] for line in lines] == [
        "numpy==2.5.5",
        "--hash=sha256:dd",
        "--hash=sha256:ee",
        "psycopg-binary==3.3.9",
        "--hash=sha256:ff",
        "pyjwt[crypto]==2.10.1",
        "--hash=sha256:00",
    ]


def test_what_one_platform_alone_has_is_named_and_what_none_has_is_not() -> None:
    assert shipped.versions_of_lock(LOCK) == {
        "greenlet": "3.3.0",
        "numpy": "2.5.5",
        "psycopg-binary": "3.3.9",
        "pyjwt": "2.10.1",
    }


def test_each_distribution_is_named_once_in_the_lock_of_this_tree() -> None:
    lock, held = (PROJECT / "requirements.lock").read_text(), shipped.distributions()
    named = [each for each in shipped.lines_of_lock(lock, held).splitlines() if not each.startswith(" ")]
    assert len(named) == len(held)
    assert held.items() <= shipped.versions_of_lock(lock).items()
    assert "numpy" in held


def test_what_is_needed_is_asked_of_the_images_python_and_not_of_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def needs(*requires: str) -> list[str]:
        folder = tmp_path / "one-1.dist-info"
        folder.mkdir(exist_ok=True)
        lines = [f"Requires-Dist: {each}" for each in requires]
        (folder / "METADATA").write_text("\n".join(["Name: one", "Version: 1", *lines, ""]))
        return [name for name, _ in shipped._needed(metadata.Distribution.at(folder), frozenset({"more"}))]

    of_images, older = f"python_version == '{images.PYTHON}'", f"python_version < '{images.PYTHON}'"
    assert needs(f"new ; {of_images}", f"old ; {older}", "mac ; sys_platform == 'darwin'") == ["new"]
    assert needs("arm ; platform_machine == 'aarch64'", "more ; extra == 'more'") == ["arm", "more"]

    monkeypatch.setattr(shipped, "_needed", lambda *_: [("only-of-another-python", frozenset())])
    with pytest.raises(LaundryError, match=f"not installed here: release with Python {images.PYTHON}"):
        shipped.distributions()


def test_a_licence_is_of_the_version_that_images_have_and_says_of_which_its_text_is() -> None:
    entry = {"Name": "NumPy", "Version": "2.4.6", "License": "BSD", "URL": "u", "LicenseText": "text"}
    entry["NoticeText"] = artefacts.NO_LICENCE
    text = artefacts._licence(entry, {"numpy": "2.5.5"}).splitlines()
    assert text[0] == "NumPy 2.5.5: BSD"
    assert "(the text is that of 2.4.6)" in text
    same = artefacts._licence(entry, {"numpy": "2.4.6"})
    assert same.startswith("NumPy 2.4.6: BSD\n") and "(the text" not in same
