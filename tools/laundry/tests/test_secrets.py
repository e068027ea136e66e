"""Passwords and keys of one stack: made once, and given to whom they belong."""

import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from laundry.paths import StackPaths
from laundry.push_keys import public_key
from laundry.stack import environment, secrets
from laundry_catalogue import SERVICES
from laundry_reading.signing import PublicKey, SigningKey
from laundry_servers import files
from laundry_servers.addresses import BrokerAddress, ObjectStoreAddress


def test_secrets_are_made_once_and_a_new_service_gets_its_own(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    first = secrets.load(paths, ["helper"])
    second = secrets.load(paths, ["helper", "search"])
    assert second.broker["helper"] == first.broker["helper"]
    assert second.broker_admin == first.broker_admin
    assert second.model_signing_key == first.model_signing_key
    assert len({*second.broker.values(), *second.database.values()}) == 4
    assert stat.S_IMODE(paths.secrets_file.stat().st_mode) == 0o600


def test_a_stack_from_before_models_were_signed_gets_a_key_and_keeps_its_passwords(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    before = secrets.load(paths, ["helper"])
    kept = files.read_json(paths.secrets_file)
    assert kept is not None
    del kept["model_signing_key"]
    files.write_json(paths.secrets_file, kept)
    after = secrets.load(paths, ["helper"])
    assert replace(after, model_signing_key="") == replace(before, model_signing_key="")
    assert (
        SigningKey.parse(after.model_signing_key).public != SigningKey.parse(before.model_signing_key).public
    )


def test_only_mlops_gets_the_key_that_signs_models(tmp_path: Path) -> None:
    key = SigningKey.generate()
    logins = {service.name: "postgresql://x" for service in SERVICES}
    around = environment.Surroundings(
        broker=BrokerAddress("amqp://a:b@h", ["amqp://a:b@h"], ["http://h"], "mqtt://h", "a", "b"),
        broker_passwords=logins,
        database_urls=logins,
        objects=ObjectStoreAddress("http://h", "a", "b"),
        fcm_url="http://h",
        jwks_url="http://h",
        model_folder=tmp_path,
        model_signing_key=key.text,
        service_urls={service.name: "http://h" for service in SERVICES},
        sign_in=environment.SignIn("a", "b", "c", "d", "e", tmp_path),
    )
    for service in SERVICES:
        process = service.processes[0]
        given = environment.service_environment(service, process, process.name, 1, around)
        assert (key.text in given.values()) == (service.name == "mlops")
        trusted = key.public.text if service.name in ("mlops", "ai-consumer") else None
        assert given.get("LAUNDRY_MODEL_PUBLIC_KEYS") == trusted
    assert key.text not in repr(around)


def test_a_key_pair_is_printed_as_settings_that_fit_each_other() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "laundry.cli", "models", "keygen"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    printed = dict(line.split("=", 1) for line in ran.stdout.splitlines())
    key = SigningKey.parse(printed["LAUNDRY_MODEL_SIGNING_KEY"])
    assert PublicKey.parse(printed["LAUNDRY_MODEL_PUBLIC_KEYS"]) == key.public
    assert key.public.id in ran.stderr and key.text not in ran.stderr


def test_a_key_for_pushes_is_printed_as_a_setting_and_its_public_half_beside_it() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "laundry.cli", "push-keys"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    [line] = ran.stdout.splitlines()
    name, _, private = line.partition("=")
    assert name == "LAUNDRY_WEB_PUSH_PRIVATE_KEY"
    assert public_key(private) in ran.stderr and private not in ran.stderr
