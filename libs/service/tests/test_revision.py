"""What a package's migrations say, read as text."""

import sys
from pathlib import Path

import pytest

from laundry_service.storage.revision import known

FIRST = 'revision = "0001"\n'
MARK = "OLDER_CODE_MAY_RUN = True\n"


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, where: str, files: dict[str, str]) -> str:
    name = f"migrated_{folder.name.replace('-', '_')}"
    for file, text in {
        "__init__.py": "",
        **{f"{where}/{file}": text for file, text in files.items()},
    }.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return name


@pytest.mark.parametrize(
    ("second", "third", "usable_from"),
    [("", "", "0003"), ("", MARK, "0002"), (MARK, MARK, "0001"), (MARK, "", "0003")],
)
def test_tables_are_usable_from_the_last_revision_that_does_not_say_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, third: str, usable_from: str
) -> None:
    files = {
        "0001_start.py": FIRST,
        "0002_more.py": f'revision = "0002"\n{second}',
        "0003_most.py": f'revision: str = "0003"\n{third}',
    }
    found = known(package(tmp_path, monkeypatch, "migrations/versions", files))
    assert found is not None
    assert (found.revisions, found.app, found.usable_from) == (("0001", "0002", "0003"), None, usable_from)


def test_migrations_of_django_are_known_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"0001_initial.py": "", "0002_rights.py": MARK}
    found = known(package(tmp_path, monkeypatch, "people/migrations", files))
    assert found is not None
    assert (found.revisions, found.app, found.usable_from) == (
        ("0001_initial", "0002_rights"),
        "people",
        "0001_initial",
    )


def test_a_package_without_migrations_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known(package(tmp_path, monkeypatch, "elsewhere", {})) is None
    assert known("no_such_package_at_all") is None
