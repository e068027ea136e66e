"""``laundry audit`` on databases that services really keep their audits in."""

import asyncio
import csv
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from laundry.cli import app
from laundry.stack import state
from laundry_servers.addresses import DatabaseAddress
from laundry_servers.files import write_json
from laundry_servers.postgres import drop_database, ensure_database
from laundry_service.audit.acts import COLUMNS, Act, Actor, row_of
from laundry_service.migrate import upgrade

pytestmark = pytest.mark.servers
OWNER, SERVICE = ("laundry_test_owner", "owner"), ("laundry_test_service", "service")
INSERT = f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6)"
ACTS = {
    "mlops": [Act("model.promote", "m-1", Actor("kim", "operator"), "=cmd|' /C calc'!A0")],
    "monitoring": [
        Act("equipment.retire", "washer-1", Actor("lee", "operator")),
        Act("equipment.retire", "dryer-2", Actor("kim", "operator"), "sold"),
    ],
    "operations": [Act("job.resume", "j-1", Actor("park", "operator"), "mended")],
    "identity": [Act("person.invite", "i-1", Actor("park", "operator"))],
}


class Stage:
    """A database of each service that keeps an audit, as the command sees them and as their owner can."""

    def __init__(self, address: DatabaseAddress) -> None:
        self.address = address
        self.names = {service: f"test_{secrets.token_hex(6)}" for service in ACTS}
        self.urls = {service: address.url(name, *SERVICE) for service, name in self.names.items()}

    async def make(self) -> None:
        for service, name in self.names.items():
            await ensure_database(self.address, name, *SERVICE, owner=OWNER)
            owner = self.address.url(name, *OWNER).replace("postgresql://", "postgresql+asyncpg://", 1)
            await upgrade(service, owner, served_by=SERVICE[0])
            for act in ACTS[service]:
                await self.add(service, act)

    async def add(self, service: str, act: Act) -> None:
        connection = await asyncpg.connect(self.urls[service], timeout=10)
        row = row_of(act, datetime.now(UTC))
        await connection.execute(INSERT, *(row[name] for name in COLUMNS))
        await connection.close()

    def tamper(self, service: str, *statements: str) -> None:
        async def do() -> None:
            connection = await asyncpg.connect(self.address.url(self.names[service], *OWNER), timeout=10)
            await connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(do())


@pytest.fixture
def stage(postgres: DatabaseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(postgres)
    asyncio.run(made.make())
    monkeypatch.setenv("LAUNDRY_AUDIT_DATABASE_URLS", json.dumps(made.urls))
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path / "var"))
    yield made
    for name in made.names.values():
        asyncio.run(drop_database(postgres, name))


def laundry(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    return done


def test_all_services_acts_are_shown_together_and_sorted_out(stage: Stage) -> None:
    shown = [json.loads(line) for line in laundry("list", "--json").stdout.splitlines()]
    assert [each["record"]["action"] for each in shown] == [
        "model.promote",
        "equipment.retire",
        "equipment.retire",
        "job.resume",
        "person.invite",
    ]
    mine = laundry("list", "--json", "--by", "kim", "--action", "equipment.").stdout.splitlines()
    assert [json.loads(line)["record"]["object"] for line in mine] == ["dryer-2"]
    assert "washer-1" in laundry("list", "--service", "monitoring").stdout
    assert laundry("list", "--json", "--until", "2020-01-01").stdout == ""
    assert json.loads(laundry("show", "monitoring", "2").stdout)["record"]["reason"] == "sold"
    laundry("show", "monitoring", "9", code=1)
    laundry("list", "--service", "helper", code=1)
    laundry("list", "--since", "yesterday", code=1)


def test_an_export_says_whether_the_end_was_cut_off_later(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    laundry("export", "--file", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    laundry("export", "--file", str(file), code=1)
    assert "head 2:" in laundry("verify").output
    laundry("verify", "--against", str(file))
    stage.tamper("monitoring", "DELETE FROM audit WHERE number = 2")
    (tmp_path / "var" / "audit" / "heads.json").unlink()
    laundry("verify")
    assert "the end is missing" in laundry("verify", "--against", str(file), code=1).output


def test_an_export_that_fails_leaves_no_file(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, urls = tmp_path / "audit.jsonl", json.dumps(stage.urls)
    monkeypatch.setenv("LAUNDRY_AUDIT_DATABASE_URLS", urls.replace("/test_", "/gone_"))
    for more in ([], ["--follow"], ["--csv"]):
        assert "does not answer" in laundry("export", "-o", str(file), *more, code=1).output
        assert not file.exists()
    monkeypatch.setenv("LAUNDRY_AUDIT_DATABASE_URLS", urls)
    laundry("export", "-o", str(file))


def test_databases_that_the_stack_was_started_without_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    monkeypatch.setattr(state, "supervisor", lambda _: object())
    write_json(
        tmp_path / "stack.json", {"postgres_urls": {"operations": "postgresql://nobody@127.0.0.1:1/x"}}
    )
    told = " ".join(laundry("list", code=1).output.split())
    assert "mlops" in told and "do not run in this stack" in told and "DATABASE_URLS" not in told
    assert "does not answer" in laundry("list", "--service", "operations", code=1).output


def test_what_was_seen_once_is_remembered(stage: Stage) -> None:
    laundry("verify")
    stage.tamper("monitoring", "DELETE FROM audit WHERE number = 2")
    told = laundry("verify", code=1).output
    assert "monitoring: the end is missing" in told
    # The one that is broken keeps its head; what is whole goes on.
    assert "monitoring: the end is missing" in laundry("verify", code=1).output


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE audit SET record = json_build_object('at', '2026-01-01T00:00:00Z')", "was changed"),
        ("UPDATE audit SET by = 'somebody'", "by is not what the record says"),
        ("DELETE FROM audit WHERE number = 1", "rows are missing or moved"),
        ("UPDATE audit SET number = 3 WHERE number = 1", "rows are missing or moved"),
    ],
)
def test_what_was_done_to_a_table_is_found(stage: Stage, statement: str, found: str) -> None:
    stage.tamper("monitoring", statement)
    assert found in laundry("verify", code=1).output.replace("\n", " ")


def test_a_table_that_its_service_owns_is_told(stage: Stage) -> None:
    assert "owns its tables" not in laundry("verify").output
    stage.tamper(
        "mlops", "ALTER TABLE audit ENABLE TRIGGER ALL", "GRANT UPDATE ON audit TO laundry_test_service"
    )
    assert "login of mlops owns its tables" in laundry("verify").output.replace("\n", " ")


def test_a_table_for_spreadsheets_holds_no_formula(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "audit.csv"
    laundry("export", "--csv", "--file", str(file))
    with file.open(newline="") as lines:
        found = list(csv.DictReader(lines))
    assert (found[0]["service"], found[0]["by"]) == ("mlops", "kim")
    assert found[0]["reason"].startswith("'=cmd")


def test_acts_of_the_command_itself_are_kept_where_no_stack_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    done = CliRunner().invoke(app, ["models", "keygen"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "audit" / "acts.jsonl").read_text().splitlines()]
    assert [(each["action"], each["outcome"], each["via"]) for each in lines] == [
        ("models.keygen", "asked", "cli"),
        ("models.keygen", "done", "cli"),
    ]
    secret = done.stdout.splitlines()[0].partition("=")[2]
    assert secret not in (tmp_path / "audit" / "acts.jsonl").read_text()
