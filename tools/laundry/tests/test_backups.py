"""What is listed as a backup, what is refused, and what databases and bucket disagree on."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from laundry.backup import creating, manifest, objects, places, restoring, system
from laundry.backup.manifest import Manifest, Objects
from laundry.backup.objects import Reference
from laundry.backup.places import Folder, Place
from laundry.cli import app
from laundry_servers.errors import LaundryError
from laundry_service.storage import revision
from laundry_testing.plugin import Bucket

BEGAN = datetime(2026, 5, 1, 3, tzinfo=UTC)
helper = revision.known("helper")
assert helper is not None
HEAD = helper.revisions[-1]


def written(kept: Place, scratch: Path, days: int = 0, **changes: object) -> str:
    """Write a backup of one file, as ``create`` does."""
    name = manifest.new_id(BEGAN + timedelta(days=days))
    with kept.draft(name, scratch) as draft:
        (draft / creating.DUMPS).mkdir()
        (draft / creating.DUMPS / "helper.dump").write_bytes(b"rows")
        found = Manifest(
            kind=manifest.KIND,
            format=manifest.FORMAT,
            id=name,
            held_at=BEGAN,
            finished_at=BEGAN,
            version="0.1.0",
            revisions={"helper": HEAD},
            under_way={},
            dead_letters={},
            objects=Objects(number=0, bytes=0, copied=False),
            files=manifest.files_of(draft),
        )
        kept.keep(draft, found.model_copy(update=changes))
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "backups")


def test_half_a_backup_is_not_listed_and_no_hindrance(folder: Folder, tmp_path: Path) -> None:
    # As a command leaves it that was killed.
    half = folder.path / ".draft-2026-05-01T03-00-00Z"
    half.mkdir(parents=True, mode=0o700)
    (half / "half").write_bytes(b"")
    assert folder.entries() == []
    name = written(folder, tmp_path)
    assert [entry.id for entry in folder.entries()] == [name]
    assert not list(folder.path.glob(".draft-*"))
    assert (folder.path / name / manifest.NAME).stat().st_mode & 0o077 == 0


def test_a_backup_that_another_command_writes_is_left_alone(folder: Folder, tmp_path: Path) -> None:
    with folder.draft("2026-04-01T03-00-00Z", tmp_path) as running:
        (running / "half").write_bytes(b"")
        written(Folder(folder.path), tmp_path)
        assert (running / "half").exists()
        with pytest.raises(LaundryError, match="Try again"), folder.draft("2026-04-01T03-00-00Z", tmp_path):
            pass
        assert (running / "half").exists()
    assert folder.path.stat().st_mode & 0o077 == 0


def test_a_backup_that_fails_leaves_no_draft(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), folder.draft("2026-05-01T03-00-00Z", tmp_path):
        raise KeyboardInterrupt
    assert not list(folder.path.glob(".draft-*"))


def test_the_oldest_are_removed_and_a_damaged_one_does_not_count(folder: Folder, tmp_path: Path) -> None:
    names = [written(folder, tmp_path, days) for days in range(4)]
    (folder.path / names[3] / manifest.NAME).write_text("{")
    assert places.newest(folder) == names[2]
    assert places.prune(folder, 2) == [names[0]]
    assert [entry.id for entry in folder.entries()] == [names[3], names[2], names[1]]
    assert "damaged" in folder.entries()[0].why_not


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "somebody else's"}, "is no backup of this system"),
        ({"format": manifest.FORMAT + 1}, "made by a newer version"),
        (
            {"revisions": {"helper": "9999"}},
            "newer than this version: its database of helper is at revision 9999",
        ),
        ({"revisions": {"orders": "1"}}, "does not know: orders"),
        ({"files": {}, "held_at": None}, "damaged"),
        ({"files": {"../outside": {"bytes": 1, "sha256": "0"}}}, "outside its folder"),
    ],
)
def test_what_is_foreign_newer_or_damaged_is_refused(
    folder: Folder, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    name = written(folder, tmp_path)
    file = folder.path / name / manifest.NAME
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(LaundryError, match=sentence):
        restoring.usable(folder.path / name)


@pytest.mark.parametrize("damage", [b"rowz", None])
def test_a_changed_or_a_missing_file_is_refused(folder: Folder, tmp_path: Path, damage: bytes | None) -> None:
    name = written(folder, tmp_path)
    assert restoring.usable(folder.path / name).id == name
    file = folder.path / name / creating.DUMPS / "helper.dump"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    with pytest.raises(LaundryError, match=r"damaged: databases/helper\.dump"):
        restoring.usable(folder.path / name)
    shutil.rmtree(folder.path / name)
    with pytest.raises(LaundryError, match="There is no backup"):
        folder.fetch(name, tmp_path)


def test_the_list_has_whole_names_in_a_narrow_terminal_and_says_why_one_cannot_be_used(
    folder: Folder, tmp_path: Path
) -> None:
    names = [written(folder, tmp_path, days) for days in range(2)]
    (folder.path / names[0] / manifest.NAME).write_text("{")
    listed = CliRunner().invoke(app, ["backup", "list", "--at", str(folder.path)], env={"COLUMNS": "80"})
    assert listed.exit_code == 0
    assert all(name in listed.output for name in names)
    assert "damaged" in listed.output


@pytest.mark.servers
def test_a_bucket_keeps_backups_as_a_folder_does(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(places.ENDPOINT_VARIABLE, bucket.store.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.store.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.store.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    kept = places.place(f"s3://{bucket.name}/daily")
    names = [written(kept, tmp_path, days) for days in range(2)]
    assert places.prune(kept, 1) == [names[0]]
    assert [entry.id for entry in kept.entries()] == [names[1]]
    (tmp_path / "back").mkdir()
    fetched = kept.fetch(names[1], tmp_path / "back")
    assert restoring.usable(fetched).id == names[1]
    # Without its manifest, which is stored last, it is none.
    assert isinstance(kept, places.S3)
    kept.client.delete_object(Bucket=bucket.name, Key=f"daily/{names[1]}/{manifest.NAME}")
    assert kept.entries() == []
    # It may be one that is being stored; later nobody can be storing it. What is not ours stays.
    kept.client.put_object(Bucket=bucket.name, Key=f"daily/{names[1]}-of-mine/notes", Body=b"")
    made = BEGAN + timedelta(days=1)
    assert places.prune(kept, 1, made + timedelta(days=1)) == []
    assert places.prune(kept, 1, made + timedelta(days=8)) == [names[1]]
    assert kept.unfinished() == []
    left = kept.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert [each["Key"] for each in left] == [f"daily/{names[1]}-of-mine/notes"]


@pytest.mark.servers
def test_objects_are_listed_copied_and_put_back_where_they_are_missing(
    bucket: Bucket, tmp_path: Path
) -> None:
    store = bucket.store
    here = system.Bucket(store.endpoint_url, bucket.name, store.access_key, store.secret_key)
    client = objects.client(here)
    for key in ("photos/b1/a.jpg", "photos/b1/copy.jpg"):
        client.put_object(Bucket=bucket.name, Key=key, Body=b"picture", ContentType="image/jpeg")
    found = objects.write(here, tmp_path, {}, copy=True)
    assert (found.number, found.bytes, found.copied) == (2, 14, True)
    # One content, one file.
    assert len(list((tmp_path / objects.FOLDER).iterdir())) == 1
    client.delete_object(Bucket=bucket.name, Key="photos/b1/a.jpg")
    assert objects.put_back(here, tmp_path) == 1
    answer = client.get_object(Bucket=bucket.name, Key="photos/b1/a.jpg")
    assert answer["Body"].read() == b"picture"


def test_what_rows_and_bucket_say_differently_is_told() -> None:
    rows = {key: Reference(key, "", 7) for key in ("photos/there", "photos/short", "photos/gone")}
    there = [
        {"key": "photos/there", "bytes": 7},
        {"key": "photos/short", "bytes": 3},
        {"key": "photos/after", "bytes": 7},
        {"key": "pictures/made-again", "bytes": 7},
    ]
    found = objects.disagreement(rows, there)
    assert found == objects.Disagreement(["photos/gone"], ["photos/short"], ["photos/after"])
    assert not objects.disagreement({}, [])


def test_a_system_that_is_named_in_part_is_refused() -> None:
    assert system.of_environment({}) is None
    with pytest.raises(LaundryError, match="LAUNDRY_DATABASE_URL_MLOPS"):
        system.of_environment({"LAUNDRY_DATABASE_URL_HELPER": "postgresql://h/helper"})


def test_an_address_of_the_bucket_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(places.ENDPOINT_VARIABLE, "foo")
    with pytest.raises(LaundryError, match="LAUNDRY_BACKUP_S3_ENDPOINT_URL is an address"):
        places.place("s3://bucket/prefix")


def test_a_file_is_no_place_for_backups(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(LaundryError, match="--at"), Folder(path).draft("2026-05-01T03-00-00Z", tmp_path):
            pass


@pytest.mark.parametrize("at", ["https://bucket/x", "s3://"])
def test_a_place_that_is_none_is_refused(at: str) -> None:
    with pytest.raises(LaundryError, match="s3://bucket/prefix"):
        places.place(at)
