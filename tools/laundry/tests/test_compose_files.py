"""What Compose's containers get survives that it is written again, also where the disk is full."""

from pathlib import Path

import pytest

from laundry.deploy import environment
from laundry.paths import StackPaths


@pytest.fixture
def paths(tmp_path: Path) -> StackPaths:
    found = StackPaths(tmp_path)
    environment.write(found)
    return found


def test_passwords_are_replaced_in_one_step_by_a_file_of_the_same_content(paths: StackPaths) -> None:
    file = paths.var / "compose.env"
    before, text = file.stat().st_ino, file.read_text()
    environment.write(paths)
    assert file.stat().st_ino != before
    assert file.read_text() == text
    assert file.stat().st_mode & 0o777 == 0o600


def test_mounted_secrets_stay_the_same_files_and_are_not_emptied_for_nothing(paths: StackPaths) -> None:
    files = list((paths.var / "compose" / "secrets").iterdir())
    before = {file: file.stat() for file in files}
    environment.write(paths)
    for file, then in before.items():
        now = file.stat()
        assert (now.st_ino, now.st_mtime_ns) == (then.st_ino, then.st_mtime_ns)
        assert now.st_mode & 0o777 == 0o644
    environment_file = paths.var / "compose.env"
    environment_file.write_text(environment_file.read_text().replace("S3_SECRET_KEY=", "S3_SECRET_KEY=new"))
    environment.write(paths)
    file = paths.var / "compose" / "secrets" / "s3-secret-key"
    assert file.stat().st_ino == before[file].st_ino and file.read_text().startswith("new")
