"""What an operator does to a stack while photos arrive: back it up, restore it, change its passwords."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import pytest
from botocore.exceptions import ClientError
from pydantic import AnyHttpUrl, SecretStr

from identity.oidc.token_of_a_helper import Signing
from identity.oidc.token_of_a_helper import token as token_of_a_helper
from laundry.checks.broker import Outcome, check
from laundry.demo.photos import sample_photos, unique
from laundry.paths import StackPaths
from laundry.stack.environment import public_url
from laundry.stack.rotation import with_password
from laundry_servers.files import read_json
from laundry_servers.identity import LocalIdentity
from laundry_servers.s3 import s3_client
from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]

BRANCH = "backed-up"
WITHIN_S = 90.0


class Helper:
    """A helper of one branch, of a stack that may be destroyed under them."""

    def __init__(self, paths: StackPaths, token: str | None = None) -> None:
        self._paths = paths
        token = token or LocalIdentity(paths.identity).mint(role="helper", branches=[BRANCH], subject="kim")
        self._headers = {"Authorization": f"Bearer {token}"}
        [(self._name, self._photo)] = sample_photos(1, seed=4711)

    def client(self) -> httpx.Client:
        stack: Any = read_json(self._paths.stack_file)
        if stack is None:
            raise httpx.ConnectError("the stack is destroyed")
        return httpx.Client(base_url=stack["helper_url"], headers=self._headers, timeout=20)

    def upload(self, client: httpx.Client) -> str:
        photo = (self._name, unique(self._photo), "image/jpeg")
        answer = client.post("/tasks", files={"photo": photo}, data={"branch_id": BRANCH})
        # While a process ends and its successor starts it says so; nobody was told 201.
        answer.raise_for_status()
        found: str = answer.json()["id"]
        return found

    def tasks(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        asked: dict[str, str | int] = {"branch_id": BRANCH, "limit": 100}
        with self.client() as client:
            while True:
                page = client.get("/tasks", params=asked).raise_for_status().json()
                found |= {task["id"]: task for task in page["items"]}
                if not page["next_cursor"]:
                    return found
                asked["cursor"] = page["next_cursor"]

    def all_read(self) -> dict[str, dict[str, Any]]:
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            found = self.tasks()
            if found and all(task["status"] == "read" for task in found.values()):
                return found
            time.sleep(0.2)
        raise AssertionError({task["id"]: task["status"] for task in self.tasks().values()})


class Uploading:
    """Uploads photo after photo until the stack is gone; or, as a phone does, again until it is taken.

    The first one is taken before what happens to the stack begins, and with `again` the last one after it.
    """

    def __init__(self, helper: Helper, *, again: bool = False, every_s: float = 1) -> None:
        self.accepted: list[str] = []
        self._again = again
        self._every_s = every_s
        self._helper = helper
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Uploading":
        with self._helper.client() as client:
            self.accepted.append(self._helper.upload(client))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        deadline = time.monotonic() + WITHIN_S
        while self._again and kind is None and not self._upload_once():
            assert time.monotonic() < deadline, "no photo is taken any more"
            time.sleep(0.2)

    def until_another(self) -> None:
        """Wait until one more is accepted."""
        before, deadline = len(self.accepted), time.monotonic() + WITHIN_S
        while len(self.accepted) == before:
            assert time.monotonic() < deadline, "no photo is taken any more"
            time.sleep(0.05)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            if not self._upload_once() and not self._again:
                return

    def _upload_once(self) -> bool:
        try:
            with self._helper.client() as client:
                self.accepted.append(self._helper.upload(client))
        except httpx.HTTPError:
            return False
        return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small stack of its own: what this destroys is nobody else's."""
    folder = tmp_path_factory.mktemp("backed-up")
    for part in (folder, folder.parent):
        part.chmod(0o755)
    parts = [word for name in ("helper", "ai-consumer", "identity") for word in ("--only", name)]
    up = laundry(folder, "up", "--detach", "--servers", "native", *parts)
    assert up.returncode == 0, up.stderr
    yield folder
    down = laundry(folder, "down", "--wipe")
    assert down.returncode == 0, down.stderr


def test_what_was_accepted_before_a_backup_goes_on_after_everything_was_destroyed(folder: Path) -> None:
    helper = Helper(StackPaths(folder))
    with helper.client() as client:
        for _ in range(3):
            helper.upload(client)
    before = helper.all_read().keys()

    # Often: some are to fall into the moment in which the outboxes are held.
    with Uploading(helper, every_s=0.1) as uploading:
        drill = laundry(folder, "backup", "drill", "--objects", "--yes", timeout_s=300)
    assert drill.returncode == 0, drill.stderr
    assert "RPO" in drill.stdout
    assert "RTO" in drill.stdout

    # Whatever the databases had is read in the end: what was under way waited in the outbox of the backup.
    after = helper.all_read()
    assert before <= after.keys()
    assert after.keys() <= {*before, *uploading.accepted}
    # Their names begin with the time: other tests may have made some before.
    backup = max(each for each in (folder / "backups").iterdir() if each.is_dir())
    manifest = json.loads((backup / "manifest.json").read_text())
    assert "Published again from the outboxes: helper" in drill.stderr, "photos came while it was held"
    # The objects were destroyed too: photos that the rows name are there again.
    with helper.client() as client:
        for task_id in after:
            assert client.get(f"/tasks/{task_id}/photo").status_code == 200
        helper.upload(client)
    assert len(helper.all_read()) == len(after) + 1
    # Nobody reads the copies for the history here, and that is said.
    assert manifest["under_way"].keys() == {"history.intake"}
    assert "Not covered" in drill.stderr
    listed = laundry(folder, "backup", "list")
    assert backup.name in listed.stdout


def test_a_damaged_backup_changes_nothing(folder: Path) -> None:
    helper = Helper(StackPaths(folder))
    known = helper.tasks().keys()
    made = laundry(folder, "backup", "create", "--keep", "1")
    assert made.returncode == 0, made.stderr
    [backup] = [each for each in (folder / "backups").iterdir() if each.is_dir()]
    with (backup / "databases" / "helper.dump").open("ab") as dump:
        dump.write(b"!")
    refusal = laundry(folder, "backup", "restore", "--yes")
    assert refusal.returncode == 1
    assert "is damaged: databases/helper.dump is not what was written" in " ".join(refusal.stderr.split())
    assert helper.tasks().keys() == known


def test_passwords_change_under_load_and_nothing_is_lost(folder: Path) -> None:
    helper = Helper(StackPaths(folder))
    before = kept(folder)
    with Uploading(helper, again=True) as uploading:
        for what in ("broker", "database", "s3"):
            rotated = laundry(folder, "secrets", "rotate", what)
            assert rotated.returncode == 0, rotated.stderr
            # The old one opens nothing any more.
            assert refused(folder, what, before), what
    assert set(uploading.accepted) <= helper.all_read().keys()
    # What other commands find in var/stack.json is the new one too.
    checked = laundry(folder, "check", "stack")
    assert checked.returncode == 0, checked.stdout


def test_the_key_of_tokens_changes_under_load_and_nobody_is_sent_away(folder: Path) -> None:
    def token(keys: str) -> str:
        stack: Any = read_json(StackPaths(folder).stack_file)
        signing = Signing(
            signing_keys=SecretStr(keys), public_url=AnyHttpUrl(public_url(stack["identity_url"]))
        )
        return token_of_a_helper(signing, BRANCH, now=time.time())

    before = kept(folder)["sign_in"]["signing_key"]
    helper = Helper(StackPaths(folder), token(before))
    with Uploading(helper) as uploading:
        rotated = laundry(folder, "secrets", "rotate", "identity")
        assert rotated.returncode == 0, rotated.stderr
        both = kept(folder)["sign_in"]["signing_key"]
        assert both.split(",")[1] == before
        # What it signs from now on is taken at once, and what it signed before still is.
        assert Helper(StackPaths(folder), token(both)).tasks()
        assert helper.tasks()
        # One that was refused would have ended the uploading.
        uploading.until_another()
        finished = laundry(folder, "secrets", "rotate", "identity", "--finish")
        assert finished.returncode == 0, finished.stderr
    assert set(uploading.accepted) <= helper.all_read().keys()
    stack: Any = read_json(StackPaths(folder).stack_file)
    published = httpx.get(f"{stack['identity_url']}/.well-known/jwks.json", timeout=20).json()["keys"]
    assert [each["kid"] for each in published] == [jwt.get_unverified_header(token(both))["kid"]]


def kept(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "secrets.json").read_text())
    return found


def refused(folder: Path, what: str, before: dict[str, Any]) -> bool:
    """Whether what opened a server before opens it no longer."""
    stack: Any = read_json(StackPaths(folder).stack_file)
    if what == "s3":
        pair = before["s3_access_key"], before["s3_secret_key"]
        with pytest.raises(ClientError) as told:
            s3_client(stack["s3"]["endpoint_url"], *pair).list_objects_v2(Bucket=stack["s3"]["bucket"])
        return told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    password = before[what]["helper"]
    if what == "broker":
        url = with_password(stack["amqp_urls"][0].replace("laundry-admin", "helper"), password)
        return asyncio.run(check(url, timeout_s=60)).outcome is Outcome.REFUSED

    async def connects() -> bool:
        try:
            await asyncpg.connect(with_password(stack["postgres_urls"]["helper"], password), timeout=60)
        except asyncpg.InvalidPasswordError:
            return False
        return True

    return not asyncio.run(connects())
