"""What is written for an installation is what the chart asks for."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from laundry.deploy.chart import CHART, README, SCHEMA_FILE, VALUES_FILE
from laundry.paths import StackPaths
from laundry.stack import secrets
from laundry_catalogue import broker_users, database_owners
from laundry_cluster import release
from laundry_servers.files import read_json

# May be left out, by the chart's README.
OPTIONAL = {"database-owner-url", "smtp-url", "customer-oidc-client-secret", "mqtt-auth-secret-before"}
ROW = re.compile(r"^\| `(laundry-[a-z-]+)` \| (.*) \|$", re.MULTILINE)


def facts(folder: Path) -> dict[str, Any]:
    paths = StackPaths(folder)
    secrets.load(paths, list(dict.fromkeys([*broker_users(), *database_owners()])))
    kept: dict[str, Any] = read_json(paths.secrets_file) or {}
    return {**kept, "administrator": {"username": "a", "password": "p"}, "address": "10.1.2.3"}


def test_every_secret_of_the_readme_has_its_keys_and_no_more(tmp_path: Path) -> None:
    given = release.secrets_of(facts(tmp_path))
    asked = {name: set(re.findall("`([^`]+)`", keys)) for name, keys in ROW.findall(README.read_text())}
    assert len(asked) > 5
    for name, keys in asked.items():
        assert keys - OPTIONAL <= set(given[name]) <= keys, name


def over(defaults: Any, given: Any) -> Any:
    """Lay values over the defaults as helm does."""
    if not isinstance(defaults, dict) or not isinstance(given, dict):
        return given
    return {**defaults, **{key: over(defaults.get(key), value) for key, value in given.items()}}


def test_the_values_are_such_as_the_schema_takes(tmp_path: Path) -> None:
    defaults, known = yaml.safe_load(VALUES_FILE.read_text()), facts(tmp_path)
    given = {**release.values(known), "backup": release.backup(known)}
    jsonschema.validate(over(defaults, given), json.loads(SCHEMA_FILE.read_text()))


def test_the_backup_has_the_keys_that_its_job_asks_for(tmp_path: Path) -> None:
    known = facts(tmp_path)
    asked = set(re.findall(r'"([a-z0-9-]+-(?:url|key))"', (CHART / "templates/backup.yaml").read_text()))
    assert asked
    assert set(release.secrets_of(known)[release.backup(known)["secret"]]) == asked


def test_the_release_before_gets_its_own_images_and_no_variables(tmp_path: Path) -> None:
    given = release.values_before(facts(tmp_path), "before-1")
    assert given["image"]["tag"] == "before-1"
    assert "extraEnv" not in json.dumps(given)


def test_the_copy_of_the_chart_differs_in_what_is_newer_than_the_cluster_alone(tmp_path: Path) -> None:
    release.copy_chart(tmp_path)
    changed = []
    for file in sorted(path for path in CHART.rglob("*") if path.is_file()):
        old, new = file.read_bytes(), (tmp_path / file.relative_to(CHART)).read_bytes()
        changed += [(file.name, line) for line in set(new.splitlines()) - set(old.splitlines())]
    looked_up = {line for name, line in changed if name in ("NOTES.txt", "validation.yaml")}
    assert all(b'lookup "autoscaling/v2beta2"' in line for line in looked_up)
    assert {line for _, line in changed} - looked_up == {
        b'kubeVersion: ">=1.20.0-0"',
        b"apiVersion: policy/v1beta1",
        b"apiVersion: autoscaling/v2beta2",
        b"apiVersion: batch/v1beta1",
    }
    assert yaml.safe_load((tmp_path / "Chart.yaml").read_text())["kubeVersion"] == ">=1.20.0-0"
