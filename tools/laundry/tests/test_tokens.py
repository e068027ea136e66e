"""Tokens of the local stack, its key's rotation, and whom it has cut off."""

import json
import math
import time
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import jwt
import pytest
from typer.testing import CliRunner, Result

from laundry.cli import app
from laundry.deploy.mirror import mirror_identity
from laundry.paths import StackPaths
from laundry.stack import environment
from laundry_servers import identity as local
from laundry_servers.deny_list import LocalDenyList
from laundry_servers.identity import LocalIdentity
from laundry_service.auth import claims
from laundry_service.auth.deny_list import DenyList
from laundry_service.auth.principal import Principal
from laundry_service.limits.rates import Allowance, LimitName, RateLimits


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))

    def run(*arguments: str, given: str | None = None) -> Result:
        return CliRunner().invoke(app, ["token", *arguments], input=given)

    return run


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def test_the_form_without_a_command_prints_a_token_with_an_id_of_its_own(run: Any) -> None:
    printed = [run("--role", "helper", "--branch", "b1", "--sub", "kim").output.strip() for _ in range(2)]
    first, second = (claims_of(token) for token in printed)
    assert (first["sub"], first["role"], first["branches"]) == ("kim", "helper", ["b1"])
    assert len({first["jti"], second["jti"]}) == 2
    assert run().exit_code == 2


@pytest.mark.parametrize(("role", "hours", "taken"), [("owner", "24", True), ("owner", "25", False)])
def test_a_token_that_the_services_would_refuse_is_not_made(
    run: Any, role: str, hours: str, taken: bool
) -> None:
    assert (run("--role", role, "--hours", hours).exit_code == 0) == taken


def test_what_the_command_knows_of_limits_is_what_the_services_hold() -> None:
    for role in local.ROLES:
        assert local.max_hours(role) == claims.MAX_HOURS.get(role, claims.DEFAULT_MAX_HOURS)  # type: ignore[call-overload]
    names: tuple[str, ...] = get_args(LimitName)
    assert set(environment.RATE_LIMITS) <= set(names)
    RateLimits({name: Allowance(**rates) for name, rates in environment.RATE_LIMITS.items()})  # type: ignore[misc]


def test_who_is_denied_is_read_by_the_services_and_may_be_allowed_again(run: Any, tmp_path: Path) -> None:
    assert run("deny", "--sub", "kim").exit_code == 0
    assert run("deny", "--jti", "t1", "--until", "2h").exit_code == 0
    before = math.floor(time.time())
    assert run("deny", "--sub", "lee", "--issued-before", "now").exit_code == 0
    denied = DenyList(LocalDenyList(tmp_path / "identity").document())
    assert (denied.count, denied.unreadable) == (3, 0)
    now = time.time()
    assert denied.covers(Principal("kim", "owner", issued_at=now), now)
    token = Principal("a", "owner", token_id="t1")
    assert denied.covers(token, now)
    assert not denied.covers(token, now + 7300)
    assert denied.covers(Principal("lee", "owner", issued_at=before), now)
    assert not denied.covers(Principal("lee", "owner", issued_at=time.time() + 5), now)
    shown = run("denied").output
    assert "sub=kim" in shown and "jti=t1" in shown
    assert run("allow", "--sub", "kim").exit_code == 0
    assert run("allow", "--sub", "kim").exit_code == 1
    assert "sub=kim" not in run("denied").output


def test_a_found_token_is_denied_without_standing_on_a_command_line(run: Any, tmp_path: Path) -> None:
    token = run("--role", "owner").output.strip()
    assert run("deny", "--from-token", given=f"{token}\n").exit_code == 0
    (entry,) = LocalDenyList(tmp_path / "identity").entries()
    assert entry["jti"] == claims_of(token)["jti"]
    assert datetime.fromisoformat(entry["until"]).timestamp() >= claims_of(token)["exp"]
    for rubbish in ("", "a.b.c", jwt.encode({"sub": "x"}, "k" * 32)):
        assert run("deny", "--from-token", given=rubbish).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--sub", "a", "--jti", "b"),
        ("--sub", ""),
        ("--sub", "a\nb"),
        ("--sub", "x" * 300),
        ("--sub", "a", "--until", "tomorrow"),
        ("--sub", "a", "--until", "20261128"),
        ("--sub", "a", "--until", "2026-12-01T09:00:00"),
        ("--sub", "a", "--issued-before", "-1h"),
    ],
)
def test_a_denial_that_says_nothing_is_refused(run: Any, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run("deny", *arguments).exit_code == 1
    assert not LocalDenyList(tmp_path / "identity").entries()


def test_containers_see_the_same_where_compose_was_set_up(tmp_path: Path, run: Any) -> None:
    paths = StackPaths(tmp_path)
    mirror_identity(paths)
    assert not (tmp_path / "compose").exists()
    (tmp_path / "compose").mkdir()
    mirror_identity(paths)
    mounted = tmp_path / "compose" / "denied.json"
    before = mounted.stat().st_ino
    assert run("deny", "--sub", "kim").exit_code == 0
    assert mounted.stat().st_ino == before, "a mounted file must stay the same file"
    assert LocalDenyList(tmp_path / "compose").entries() == [{"sub": "kim"}]
    assert run("rotate-key", "--keep-old").exit_code == 0
    assert LocalIdentity(tmp_path / "compose").jwks() == LocalIdentity(paths.identity).jwks()
    assert len(LocalIdentity(paths.identity).jwks()["keys"]) == 2
    assert run("withdraw-keys").exit_code == 0
    assert LocalIdentity(tmp_path / "compose").jwks() == LocalIdentity(paths.identity).jwks()


def test_who_cut_somebody_off_and_why_is_in_the_audit(run: Any, tmp_path: Path) -> None:
    assert run("deny", "--sub", "kim", "--reason", "phone stolen").exit_code == 0
    assert run("allow", "--sub", "nobody-of-these").exit_code != 0
    kept = [json.loads(line) for line in (tmp_path / "audit" / "acts.jsonl").read_text().splitlines()]
    assert [(each["action"], each["object"], each["reason"], each["outcome"]) for each in kept] == [
        ("token.deny", "sub kim", "phone stolen", "asked"),
        ("token.deny", "sub kim", "phone stolen", "done"),
        ("token.allow", "sub nobody-of-these", None, "asked"),
        ("token.allow", "sub nobody-of-these", None, "failed"),
    ]
