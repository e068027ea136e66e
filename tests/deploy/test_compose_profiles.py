"""Compose's profiles go together: what was chosen starts, and all of it is taken down."""

import shlex
import subprocess
from pathlib import Path

import pytest

from laundry.deploy import check, environment, tools
from laundry.paths import PROJECT, StackPaths
from laundry_servers.errors import LaundryError
from tests.deploy.test_compose import COMPOSE, CONTAINERS, files_of


def of_profiles(*chosen: str) -> set[str]:
    return {name for name, each in CONTAINERS.items() if {*each.get("profiles", [])} <= {*chosen}}


@pytest.fixture
def compose() -> tools.Tool:
    tool = tools.compose(fetch=False)
    if tool is None:
        pytest.skip("Docker Compose is not installed; `laundry check-deploy --fetch` gets it")
    return tool


def started(compose: tools.Tool, env_file: Path, *arguments: str) -> set[str]:
    done = compose.run(["--env-file", str(env_file), *arguments, "config", "--services"], cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    return {*done.stdout.split()}


@pytest.mark.parametrize("cluster", [False, True])
@pytest.mark.parametrize("observe", [False, True])
def test_each_profile_that_was_chosen_starts_beside_the_other(
    compose: tools.Tool, tmp_path: Path, *, cluster: bool, observe: bool
) -> None:
    env_file = environment.write(StackPaths(tmp_path), cluster=cluster)
    # One after another, as people decide.
    environment.write(StackPaths(tmp_path), observe=observe)
    chosen = [name for name, on in (("cluster", cluster), ("observe", observe)) if on]
    assert started(compose, env_file) == of_profiles(*chosen)


def test_everything_is_taken_down_whatever_was_chosen(compose: tools.Tool, tmp_path: Path) -> None:
    env_file = environment.write(StackPaths(tmp_path))
    told = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "compose-down", "DOCKER_COMPOSE=compose"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    command = shlex.split(told.stdout)
    assert command[:3] == ["compose", "--env-file", "var/compose.env"]
    arguments = command[3 : command.index("down")]
    assert started(compose, env_file, *arguments) == of_profiles("cluster", "observe") == CONTAINERS.keys()


def test_check_deploy_reads_every_choice_of_profiles(
    compose: tools.Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[set[str]] = []
    run = tools.Tool.run

    def watched(tool: tools.Tool, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
        if "config" in arguments:
            asked = [*arguments[: arguments.index("config")], "config", "--services"]
            read.append({*run(tool, asked).stdout.split()})
        return run(tool, arguments)

    monkeypatch.setattr(tools.Tool, "run", watched)
    check.check_compose(fetch=False)
    assert read == [of_profiles(), of_profiles("observe"), of_profiles("cluster"), {*CONTAINERS}]
    broken = tmp_path / "docker-compose.yml"
    text = (PROJECT / "docker-compose.yml").read_text()
    broken.write_text(
        text.replace("grafana:\n    <<: *observing", "grafana:\n    <<: *observing\n    imag: x")
    )
    with pytest.raises(LaundryError, match="grafana"):
        check.check_compose(broken, fetch=False)


def test_spans_go_to_the_collector_while_it_is_there_and_to_one_s_own_always(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)

    def spans_to(observe: bool | None) -> str | None:
        return environment.read_env(environment.write(paths, observe=observe)).get(environment.SPANS_TO)

    assert [spans_to(each) for each in (None, True, None, False)] == [
        None,
        environment.COLLECTOR,
        environment.COLLECTOR,
        "",
    ]
    env_file = tmp_path / "compose.env"
    given = f"{environment.SPANS_TO}=http://otlp.example:4318"
    env_file.write_text(env_file.read_text().replace(f"{environment.SPANS_TO}=", given))
    assert [spans_to(each) for each in (True, False)] == ["http://otlp.example:4318"] * 2


def test_the_readme_says_who_reads_a_new_password() -> None:
    """Whom it opens is told first: a service that restarts earlier is refused."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (PROJECT / "deploy" / "README.md").read_text().splitlines()
        if (line.startswith("| `") and "_PASSWORD" in line) or line.startswith("| `S3_")
    ]
    first = {row[0].split("_")[0].removeprefix("`"): row[1] for row in rows}
    readers = {
        secret: {name for name in CONTAINERS if secret in files_of(name).values()}
        for secret in ("rabbitmq-definitions", "database-passwords", "database-owner-passwords", "s3-keys")
    }
    assert readers["rabbitmq-definitions"] >= {"rabbitmq"} and "`restart rabbitmq`" in first["BROKER"]
    assert readers["database-passwords"] == readers["database-owner-passwords"] == {"prepare"}
    assert "`run --rm prepare`" in first["DATABASE"]
    assert readers["s3-keys"] == {"s3"} and "`restart s3`" in first["S3"]
    (then,) = (row[2] for row in rows if row[0].startswith("`S3"))
    users = {name for name in CONTAINERS if "s3-access-key" in files_of(name).values()} - {"prepare"}
    assert then == f"`restart {' '.join(name for name in COMPOSE['services'] if name in users)}`"
