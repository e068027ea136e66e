"""The small rules of the local stack that need no server."""

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jwt
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laundry.paths import StackPaths
from laundry.stack import environment, secrets, state
from laundry.stack.processes import SERVICES, broker_users, database_owners
from laundry.stack.watch import LONGEST_DELAY_SECONDS, Watch
from laundry_events import topology
from laundry_reading.signing import PublicKey, SigningKey
from laundry_servers import choice, files, ports, rootfs
from laundry_servers import given as given_servers
from laundry_servers.addresses import BrokerAddress, ObjectStoreAddress, amqp_url
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError
from laundry_servers.identity import AUDIENCE, ISSUER, LocalIdentity
from laundry_servers.process import Process


def sleeper(folder: Path, *arguments: str) -> Process:
    command = arguments or (sys.executable, "-c", "pass")
    return Process("sleeper", command, dict(os.environ), folder / "log", ready=lambda: True)


def test_a_process_that_keeps_ending_is_started_again_ever_later(tmp_path: Path) -> None:
    process = sleeper(tmp_path, "false")
    said: list[str] = []
    watch = Watch([process], changed=lambda: None, say=said.append)
    process.spawn()
    now, starts = 0.0, []
    for _ in range(12):
        assert process.child is not None
        process.child.wait(30)
        watch.look(now)
        due = watch.watched[0].due_at
        assert due is not None
        watch.look(due - 0.01)
        assert not process.running and watch.watched[0].due_at == due, "started before it was due"
        watch.look(due)
        starts.append(due - now)
        now = due
    assert starts[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert max(starts) == pytest.approx(LONGEST_DELAY_SECONDS)
    assert watch.watched[0].restarts == 12
    process.stop()


def test_a_process_that_ended_tells_why_it_is_not_ready(tmp_path: Path) -> None:
    process = sleeper(tmp_path, sys.executable, "-c", "raise SystemExit('no towels left')")
    process.ready = lambda: False
    process.spawn()
    with pytest.raises(LaundryError, match=r"(?s)status 1.*no towels left"):
        process.wait_ready(deadline=float("inf"))


def test_stopping_takes_the_whole_process_group(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; trap '' TERM; wait"
    process = Process(
        "stubborn", ["sh", "-c", script], dict(os.environ), tmp_path / "log", lambda: True, tmp_path
    )
    process.stop_seconds = 0.5
    process.spawn()
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
        assert process.running
    child = int((tmp_path / "child").read_text())
    process.stop()
    assert not process.running
    deadline = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_killed_wrapper_leaves_is_ended_before_it_is_started_again(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; wait"
    process = Process(
        "wrapper", ["sh", "-c", script], dict(os.environ), tmp_path / "log", lambda: True, tmp_path
    )
    watch = Watch([process], changed=lambda: None, say=lambda _: None)
    process.spawn()
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
        assert process.running
        time.sleep(0.01)
    left = int((tmp_path / "child").read_text())
    assert process.child is not None
    process.child.kill()
    process.child.wait(30)
    assert _lives(left)
    watch.look()
    deadline = time.monotonic() + 10
    while _lives(left):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ports_are_free_distinct_and_never_given_twice() -> None:
    first, second = ports.free_ports(40), ports.free_ports(40)
    assert len({*first, *second}) == 80
    assert not any(ports.is_open(port) for port in first)


def test_a_port_that_another_process_was_given_is_not_given_again_before_it_is_bound() -> None:
    code = "from laundry_servers.ports import free_port; print(free_port(), flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        assert not ports._claim(port)
    finally:
        other.kill()
        other.communicate(timeout=20)
    assert ports._claim(port)


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


def test_given_servers_need_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in given_servers.VARIABLES:
        monkeypatch.setenv(name, "http://user:password@host:1")
    assert choice.choose().kind is Kind.GIVEN
    monkeypatch.delenv("LAUNDRY_MANAGEMENT_URL")
    with pytest.raises(LaundryError, match="LAUNDRY_MANAGEMENT_URL"):
        choice.choose(Kind.GIVEN)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@settings(deadline=None)
@given(TEXT, TEXT, TEXT)
def test_any_login_and_vhost_survives_the_address(username: str, password: str, vhost: str) -> None:
    parts = urlsplit(amqp_url("amqp://a:b@host:5673/%2F", username=username, password=password, vhost=vhost))
    assert (parts.hostname, parts.port) == ("host", 5673)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (username, password)
    assert unquote(parts.path.removeprefix("/")) == vhost


def test_the_key_and_its_tokens_are_what_the_services_check(tmp_path: Path) -> None:
    identity = LocalIdentity(tmp_path / "identity")
    assert stat.S_IMODE(identity.key_file.stat().st_mode) == 0o600
    again = LocalIdentity(tmp_path / "identity")
    [public] = again.jwks()["keys"]
    assert "d" not in public, "the private part"
    token = identity.mint(role="device", branches=["b1", "b2"], subject="washer-1", seconds=60)
    assert jwt.get_unverified_header(token)["kid"] == public["kid"]
    claims = jwt.decode(token, jwt.PyJWK(public).key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
    assert {name: claims[name] for name in ("sub", "role", "branches")} == {
        "sub": "washer-1",
        "role": "device",
        "branches": ["b1", "b2"],
    }
    assert claims["exp"] - claims["iat"] == 60
    with pytest.raises(ValueError, match="role is one of"):
        identity.mint(role="king", branches=[])


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
    logins = {service.login: "postgresql://x" for service in SERVICES}
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
    )
    for service in SERVICES:
        given = environment.service_environment(service, service.name, 1, around)
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


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "var" / "stack.json"
    files.write_json(path, {"pids": {"helper": 1}})
    with pytest.raises(TypeError):
        files.write_json(path, {"pids": object()})
    assert json.loads(path.read_text()) == {"pids": {"helper": 1}}
    assert [each.name for each in path.parent.iterdir()] == ["stack.json"]
    assert files.read_json(tmp_path / "missing.json") is None


def test_a_reused_process_id_is_not_taken_for_the_supervisor(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    state.write_processes(paths, [], ready=True, servers="native", restarts={})
    found = state.supervisor(paths)
    assert found is not None and found.pid == os.getpid()
    notes = files.read_json(paths.processes_file)
    assert notes is not None
    notes["supervisor"]["created_at"] -= 5
    files.write_json(paths.processes_file, notes)
    assert state.supervisor(paths) is None
    with pytest.raises(LaundryError, match="laundry up"):
        state.running_stack(paths)


def test_the_table_of_processes_fits_the_topology() -> None:
    assert topology.VHOST == environment.VHOST
    assert topology.TELEMETRY_EXCHANGE == environment.TELEMETRY_EXCHANGE
    assert set(broker_users()) == {service.name for service in topology.PLAN.services}
    assert database_owners()["notification"] == "notification"
    names = [name for service in SERVICES for name in service.process_names]
    assert len(names) == len(set(names))
    assert {"ai-consumer-1", "ai-consumer-2", "ai-consumer-3", "notification-faults"} <= set(names)


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
