"""What checklists and runbooks tell to do in a cluster can be done there."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from laundry.deploy import chart, tools
from laundry.deploy.objects import parsed
from laundry.paths import PROJECT
from monitoring.telemetry import Telemetry
from tests.deploy.test_chart import rendered
from tests.deploy.test_chart_options import environment, own_servers, pods

FOLDER = PROJECT / "docs" / "operations"
API = PROJECT / "docs" / "api"
# They act through services of the local stack, with a token that it makes.
LOCAL = re.compile(r"`laundry (?:upload|people|branches|equipment|runs|check stack|status|models (?!keygen))")
ELSEWHERE = re.compile(r"page|`(?:GET|POST) /|\]\(#")


@pytest.mark.parametrize("name", ["installing.md", "backup.md", "rotation.md"])
def test_where_a_command_needs_the_local_stack_what_does_it_in_a_cluster_stands_beside_it(name: str) -> None:
    for line in (FOLDER / name).read_text().splitlines():
        if LOCAL.search(line):
            assert ELSEWHERE.search(line), line


def test_the_addresses_that_the_documents_name_are_there() -> None:
    found = {
        (service, path)
        for name in ("installing.md", "backup.md", "rotation.md")
        for service, path in re.findall(r"/api/([a-z]+)(/[a-z-]+(?:/[a-z-]+)*)", (FOLDER / name).read_text())
    }
    assert len(found) >= 3
    for service, path in found:
        assert f'"{path}"' in (API / f"{service}.openapi.json").read_text(), f"{service} has no {path}"


def test_the_fault_in_the_checklist_is_a_sample_that_monitoring_takes() -> None:
    text = (FOLDER / "installing.md").read_text()
    [block] = [each for each in re.findall(r"```\n(.*?)```", text, re.DOTALL) if "/telemetry" in each]
    # Only what it would send, after each -d, is of interest.
    stand_in = 'curl() { while [ "$1" != -d ]; do shift; done; echo "$2"; }; jq() { cat >&2; }\n'
    done = subprocess.run(
        ["bash", "-eu"],
        input=f"CLIENT_ID=x CLIENT_SECRET=y TOKEN_URL=z\n{stand_in}{block}",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "grant_type=client_credentials\n"
    [sample] = Telemetry.model_validate_json(done.stdout).samples
    assert (sample.equipment_id, sample.fault_code) == ("washer-1", "E21")


def test_a_restore_starts_the_readers_again_that_the_manifests_do_not_count() -> None:
    text = (FOLDER / "backup.md").read_text()
    for objects, commands in (
        (own_servers(), ["kubectl scale deployment {} --replicas=3"]),
        (
            rendered(),
            [
                "kubectl annotate scaledobject {} autoscaling.keda.sh/paused-replicas=0",
                "kubectl annotate scaledobject {} autoscaling.keda.sh/paused-replicas-",
            ],
        ),
    ):
        uncounted = [
            each["metadata"]["name"]
            for each in objects
            if each["kind"] == "Deployment" and "replicas" not in each["spec"]
        ]
        assert uncounted
        for name in uncounted:
            for command in commands:
                assert command.format(name) in text


def test_the_smallest_values_of_the_readme_are_enough(tmp_path: Path) -> None:
    helm = tools.helm(fetch=False)
    if helm is None:
        pytest.skip("helm is not installed; `laundry check-deploy --fetch` puts it into the cache folder")
    [values] = [
        block
        for block in re.findall(r"```yaml\n(.*?)```", chart.README.read_text(), re.DOTALL)
        if "publicUrl" in block
    ]
    values = re.sub(r"<[^>]*>", "WJpRb5197bu9KzgKUEmN1O5GkUa0blbXwHLivxp7YOs=", values)
    file = tmp_path / "your-values.yaml"
    file.write_text(values)
    done = helm.run(["template", "laundry", str(chart.CHART), "--values", str(file)])
    assert done.returncode == 0, done.stderr
    assert {"RabbitmqCluster", "Ingress", "Deployment"} <= {each["kind"] for each in parsed(done.stdout)}
    # None of it is there for nothing.
    for line in ("publicUrl", "bucket", "publicKeys", "ingressNamespaceLabels"):
        file.write_text("".join(each for each in values.splitlines(keepends=True) if line not in each))
        assert helm.run(["template", "laundry", str(chart.CHART), "--values", str(file)]).returncode != 0, (
            line
        )


@pytest.mark.parametrize("provider", ["keycloak", "entra", "google", "kakao"])
def test_the_values_of_the_guides_to_sign_in_are_taken(provider: str, tmp_path: Path) -> None:
    text = (PROJECT / "docs" / "how-to" / f"sign-in-with-{provider}.md").read_text()
    [values] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "sign-in.yaml"
    file.write_text(values)
    given = environment(pods(own_servers("--values", str(file)))["laundry-helper"])
    if provider == "kakao":
        [issuer] = json.loads(given["LAUNDRY_TRUSTED_ISSUERS"])
        assert [{name: value for name, value in issuer.items() if value is not None}] == json.loads(
            json_of(text)
        )
    else:
        assert given["LAUNDRY_JWT_ISSUER"] in text
        assert json.loads(given["LAUNDRY_JWT_MAPPING"]) == json.loads(json_of(text))


def json_of(guide: str) -> str:
    """The one block of JSON in a guide."""
    [block] = re.findall(r"```json\n(.*?)```", guide, re.DOTALL)
    return str(block)


def test_an_upgrade_in_the_documents_names_values_that_the_chart_takes() -> None:
    documents = [*PROJECT.glob("docs/**/*.md"), *PROJECT.glob("deploy/**/*.md")]
    told = {
        (how, value.replace("$(date +%s)", "1717171717"))
        for file in documents
        for command in re.findall(r"helm (?:upgrade|install)[^`\n]*", file.read_text())
        for how, value in re.findall(r"(--set(?:-string)?)[ =]([\w.-]+=(?:\$\([^)]*\)|[^\s`]+))", command)
    }
    assert ("--set-string", "topology.runAgain=1717171717") in told
    for argument in told:
        rendered(*argument)
