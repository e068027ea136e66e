"""Which images there are, and the steps of `make check-images` with a `docker` that only notes them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from laundry.deploy import environment, images, images_in_use, tools
from laundry.paths import PROJECT, StackPaths
from laundry.release import versions
from laundry_catalogue import SERVICES
from laundry_servers.errors import LaundryError
from tests.deploy.fake_docker import FakeDocker

BAKED: dict[str, Any] = json.loads(images.FILE.read_text())
CONTAINERS: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    return FakeDocker.on_path(tmp_path, monkeypatch)


def step(call: str) -> str:
    """What a call does, without where."""
    found = re.search(r"buildx bake|up|logs|kill \S+|down", re.sub(r"--\S+ \S+ ", "", call))
    assert found, call
    return found[0]


def test_each_image_is_built_as_compose_builds_it() -> None:
    for name, container in CONTAINERS.items():
        if "build" not in container:
            continue
        image = re.fullmatch(r"laundry/([\w-]+):\$\{LAUNDRY_VERSION:-(.+)\}", container["image"])
        assert image, name
        assert image[2] == versions.current()
        args = dict(container["build"]["args"])
        # The toolbox runs the command; Compose's stand-ins are another program in it.
        if image[1] == "toolbox":
            args["PACKAGE"] = "laundry.cli"
        assert BAKED["target"][image[1]]["args"] == args


def test_no_module_is_taken_from_the_folder_that_a_service_writes_to() -> None:
    kept = (PROJECT / "deploy/docker/Dockerfile").read_text()
    assert re.search(r"^ENV (.*\\\n)+ +PYTHONSAFEPATH=1 ", kept, re.MULTILINE)


def test_every_image_that_the_chart_asks_for_is_built() -> None:
    templates = "\n".join(
        path.read_text() for path in (PROJECT / "deploy/helm/laundry/templates").iterdir() if path.is_file()
    )
    asked = set(re.findall(r'"image" (?:\(ternary )?"([\w-]+)"', templates))
    assert asked >= {"toolbox", "backup", "mlops-training"}
    built = BAKED["target"].keys()
    assert {service.name for service in SERVICES} | asked <= built
    assert {*BAKED["group"]["all"]["targets"]} == {*built}


def test_docker_s_builder_reads_the_file() -> None:
    builder = tools.buildx(fetch=False)
    if builder is None:
        pytest.skip("docker buildx is not installed; `make release` gets it")
    asked = ["bake", "--file", str(images.FILE), "--print", "all"]
    done = tools.Tool(builder.command, {"VERSION": "9.9.9", "REGISTRY": "r.example"}).run(asked, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["target"]["web"]["tags"] == ["r.example/web:9.9.9"]


def test_without_an_engine_it_says_so_and_builds_nothing(docker: FakeDocker) -> None:
    docker.fail("info*")
    said = images_in_use.check(_not_told, print)
    assert said == "no Docker engine answers (asked to fail: info*)"
    assert docker.calls == []


def test_without_docker_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert images_in_use.check(_not_told, print) == "docker is not installed here"


def _not_told(paths: StackPaths) -> bool:
    raise AssertionError("the story was told")


def test_the_story_is_told_with_one_broker_with_three_and_without_one_of_them(docker: FakeDocker) -> None:
    told: list[tuple[str, str]] = []

    def story(paths: StackPaths) -> bool:
        values = environment.read_env(paths.var / "compose.env")
        told.append((values["BROKER_HOST"], step(docker.calls[-1])))
        assert values["DRILLS"] == "true", "no message could be made to fail"
        document = json.loads((paths.var / "compose" / "stack.json").read_text())
        assert document["helper_url"].endswith(f":{values['HELPER_PORT']}")
        return True

    said: list[str] = []
    assert images_in_use.check(story, said.append) is None
    assert told == [("rabbitmq", "up"), ("haproxy", "up"), ("haproxy", "kill rabbitmq-2")]
    steps = [step(call) for call in docker.calls]
    assert steps == ["buildx bake", "up", "down", "up", "kill rabbitmq-2", "down"]
    build, *others = docker.calls
    assert build.endswith("--load all")
    names = [re.search(r"--project-name (laundry-check-\w+)", call) for call in others]
    assert len({name[1] for name in names if name}) == 2, "two stacks, neither of them anybody's own"
    assert all("--wait " in call for call in others if " up " in call)
    assert all("--volumes" in call for call in others if " down " in call)
    assert len(said) == 4


@pytest.mark.parametrize(
    ("fails", "steps"),
    [
        ("buildx bake*", ["buildx bake"]),
        ("* up *", ["buildx bake", "up", "logs", "down"]),
        ("* kill *", ["buildx bake", "up", "down", "up", "kill rabbitmq-2", "logs", "down"]),
    ],
)
def test_what_was_started_is_removed_when_something_fails(
    docker: FakeDocker, fails: str, steps: list[str]
) -> None:
    docker.fail(fails)
    with pytest.raises(LaundryError, match="ended with status 1"):
        images_in_use.check(lambda paths: True, print)
    assert [step(call) for call in docker.calls] == steps


def test_a_story_that_ends_early_is_a_failure_that_shows_the_logs(docker: FakeDocker) -> None:
    with pytest.raises(LaundryError, match="The story did not happen"):
        images_in_use.check(lambda paths: False, print)
    assert [step(call) for call in docker.calls] == ["buildx bake", "up", "logs", "down"]
