"""What a rotation writes where; that nothing is lost by it is shown on a running stack."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from identity.configuration import django_configuration
from identity.settings import Settings
from laundry.cli import app
from laundry.paths import StackPaths
from laundry.stack import state
from laundry.stack.rotation import MOST_KEYS, Rotation, _text, with_password
from laundry_events.plan import REQUEUE_EXCHANGE
from laundry_events.signing import MessageSigner
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_json
from laundry_service.auth.rsa_keys import new_key, pems
from web.auth.sealing import Sealer


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("amqp://helper:old@127.0.0.1:5672/laundry", "amqp://helper:n%2Fw@127.0.0.1:5672/laundry"),
        ("amqps://helper:o%40d@h/laundry?cafile=/a", "amqps://helper:n%2Fw@h/laundry?cafile=/a"),
        ("postgresql+asyncpg://helper:old@h:5432/helper", "postgresql+asyncpg://helper:n%2Fw@h:5432/helper"),
    ],
)
def test_only_the_password_of_an_address_changes(url: str, changed: str) -> None:
    assert with_password(url, "n/w") == changed


def test_every_key_that_was_replaced_is_taken_until_the_rotation_is_finished() -> None:
    first = Rotation._next("one", lambda: "two", finish=False)
    # In a hurry, since the second became known: what the first one signed is under way still.
    second = Rotation._next(first, lambda: "three", finish=False)
    assert (first, second) == ("two,one", "three,two,one")
    assert Rotation._next(second, lambda: "four", finish=True) == "three"


def test_keys_do_not_become_more_and_more() -> None:
    keys, made = "0", map(str, range(1, MOST_KEYS))
    for _ in range(1, MOST_KEYS):
        keys = Rotation._next(keys, lambda: next(made), finish=False)
    assert len(keys.split(",")) == MOST_KEYS
    with pytest.raises(LaundryError, match="--finish"):
        Rotation._next(keys, lambda: "more", finish=False)
    assert Rotation._next(keys, lambda: "more", finish=True) == str(MOST_KEYS - 1)


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What services were given, where a first change of keys is not finished; nothing is restarted."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(state, "running_stack", lambda _: {"pids": {"mlops": 1, "helper": 1}})
    monkeypatch.setattr(Rotation, "_restart", lambda _, of, variable, new: found.append((of.name, new)))
    write_json(StackPaths(tmp_path).secrets_file, {"letters": {"helper": "two,one", "mlops": "two,one"}})
    return found


def letters(tmp_path: Path) -> dict[str, str]:
    kept: Any = read_json(StackPaths(tmp_path).secrets_file)
    found: dict[str, str] = kept["letters"]
    return found


def test_a_second_change_of_letters_keys_is_known_to_all_before_the_first_signs_with_it(
    tmp_path: Path, given: list[tuple[str, str]]
) -> None:
    Rotation(StackPaths(tmp_path), lambda _: None).letters(["mlops"], finish=False)
    [(_, known), (_, signs)] = given
    new = signs.partition(",")[0]
    assert (known, signs) == (f"two,one,{new}", f"{new},two,one")
    assert letters(tmp_path) == {"helper": "two,one", "mlops": signs}


def test_what_is_refused_for_one_service_changes_no_other_one_s_keys(
    tmp_path: Path, given: list[tuple[str, str]]
) -> None:
    before = {"helper": "two,one", "mlops": ",".join("x" * MOST_KEYS)}
    write_json(StackPaths(tmp_path).secrets_file, {"letters": before})
    with pytest.raises(LaundryError, match=f"{MOST_KEYS} keys are taken already"):
        Rotation(StackPaths(tmp_path), lambda _: None).letters([], finish=False)
    assert given == []
    assert letters(tmp_path) == before


def test_whoever_reads_keys_takes_as_many_as_there_may_be() -> None:
    texts = [_text() for _ in range(MOST_KEYS)]
    oldest, all_of_them = texts[-1], ",".join(texts)

    headers: dict[str, Any] = {}
    MessageSigner(oldest).sign("a", headers, b"{}", "m1")
    came_back = SimpleNamespace(exchange=REQUEUE_EXCHANGE, headers=headers, body=b"{}", message_id="m1")
    MessageSigner(all_of_them).check(came_back, "a")

    sealed = Sealer(oldest).seal("session", {"p": "staff"})
    assert Sealer(all_of_them).open("session", sealed, max_age_s=60) == {"p": "staff"}

    signing = [new_key() for _ in range(MOST_KEYS)]
    settings = {
        "database_url": "postgresql+asyncpg://i:p@h/i",
        "amqp_url": "amqp://h",
        "jwks_url": "http://h/jwks.json",
        "jwt_issuer": "http://h",
        "public_url": "http://h",
        "web_urls": "http://w",
        "oidc_client_secret": _text(),
        "secret_keys": all_of_them,
        "signing_keys": ",".join(signing),
    }
    django = django_configuration(Settings.model_validate(settings))
    assert [django["SECRET_KEY"], *django["SECRET_KEY_FALLBACKS"]] == texts
    assert [each["pem"] for each in django["IDP_OIDC_PRIVATE_KEYS"]] == [pems(each)[0] for each in signing]


@pytest.mark.parametrize("arguments", [("broker", "--finish"), ("identity", "helper"), ("s3", "helper")])
def test_what_makes_no_sense_is_refused_with_a_sentence(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["secrets", "rotate", *arguments])
    assert done.exit_code == 1
    assert "--finish is for keys" in done.output or "name no service" in done.output


def test_a_password_of_what_does_not_run_is_not_said_to_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"pids": {}, "management_urls": ["http://kim:secret@127.0.0.1:1"]}
    monkeypatch.setattr(state, "running_stack", lambda _: document)
    with pytest.raises(LaundryError, match="operations does not run in this stack"):
        Rotation(StackPaths(tmp_path), lambda _: None).broker(["operations"])
