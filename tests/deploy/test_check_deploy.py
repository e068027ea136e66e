"""`make check-deploy` notices each kind of damage: a copy of the chart is damaged, and its check says so.

Of an alert that no longer fires: test_alerts.py::test_an_alert_that_no_longer_fires_is_found.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from laundry.deploy import chart, check, custom_kinds, tools
from laundry_servers.errors import LaundryError

Damage = Callable[[str, str, str], Path]


@pytest.fixture
def damaged(tmp_path: Path) -> Damage:
    """Return a copy of the chart in which a pattern of one file is replaced, wherever it stands."""

    def damage(file: str, pattern: str, replacement: str) -> Path:
        if tools.helm(fetch=False) is None:
            pytest.skip("helm is not installed; `laundry check-deploy --fetch` puts it into the cache folder")
        copy = tmp_path / "laundry"
        shutil.copytree(chart.CHART, copy)
        text, count = re.subn(pattern, replacement, (copy / file).read_text(), flags=re.MULTILINE)
        assert count, f"{file} has no {pattern}"
        (copy / file).write_text(text)
        return copy

    return damage


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "complaint"),
    [
        # A value that the schema does not know, and one of the wrong kind.
        ("ci/values.yaml", r"^rabbitmq:$", "rabitmq:", "rabitmq"),
        ("values.yaml", r"port: 5432", "port: PostgreSQL", "database.port"),
        ("templates/services.yaml", r"\"laundry\.environment\"", '"laundry.environ"', "laundry.environ"),
    ],
)
def test_a_broken_value_is_found(
    damaged: Damage, file: str, pattern: str, replacement: str, complaint: str
) -> None:
    with pytest.raises(LaundryError, match=complaint):
        check.check_chart(damaged(file, pattern, replacement), fetch=False)


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "complaint"),
    [
        (
            "templates/services.yaml",
            r"^ +readinessProbe:\n(?: {12}.*\n)+",
            "",
            "laundry-helper: it has no readinessProbe",
        ),
        ("templates/training.yaml", "create, get", "get", "mlops needs the rights"),
        (
            "templates/networkpolicies.yaml",
            r"\{\{- range \$caller := \$facts\.callers \}\}",
            "{{- range $caller := list }}",
            "laundry-helper: it lets anybody in",
        ),
        (
            "templates/networkpolicies.yaml",
            r"operator: In, values: \[.*?\]",
            "operator: In, values: [helper]",
            "do not let web out to search",
        ),
        ("templates/_helpers.tpl", "RootFilesystem: true", "RootFilesystem: false", "may gain rights"),
        (
            "templates/topology.yaml",
            r"^\{\{ include \"laundry.serviceAccount\".*$",
            "",
            "its service account laundry-topology",
        ),
        ("templates/backup.yaml", r"^ +serviceAccountName: .*$", "", "the namespace's default account"),
        ("templates/podmonitors.yaml", "part-of: smart-", "part-of: ", "laundry-services: it selects no pod"),
        (
            "templates/services.yaml",
            r"- name: tmp\n          emptyDir",
            "- name: temp\n          emptyDir",
            "there is no volume tmp",
        ),
    ],
)
def test_a_missing_probe_right_path_or_volume_is_found(
    damaged: Damage, file: str, pattern: str, replacement: str, complaint: str
) -> None:
    with pytest.raises(LaundryError, match=complaint):
        check.check_rights(damaged(file, pattern, replacement), fetch=False)


def test_a_field_that_kubernetes_does_not_know_is_found(damaged: Damage) -> None:
    folder = damaged("templates/services.yaml", r"readinessProbe:", "readyProbe:")
    if tools.validator(fetch=False) is None:
        pytest.skip("kubernetes-validate is not installed; `laundry check-deploy --fetch` gets it")
    with pytest.raises(LaundryError, match="readyProbe"):
        check.check_objects(folder, fetch=False)


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "complaint"),
    [
        (
            "templates/autoscaling.yaml",
            "minReplicaCount",
            "minReplicasCount",
            "ScaledObject.*minReplicasCount",
        ),
        ("templates/rabbitmq.yaml", "disableNonTLS", "disableNonTls", "RabbitmqCluster.*disableNonTls"),
    ],
)
def test_a_field_that_another_project_s_kind_does_not_have_is_found(
    damaged: Damage, file: str, pattern: str, replacement: str, complaint: str
) -> None:
    if tools.custom_kinds(fetch=False) is None:
        pytest.skip("the kinds' types are not installed; `laundry check-deploy --fetch` gets them")
    with pytest.raises(LaundryError, match=complaint):
        check.check_custom_kinds(damaged(file, pattern, replacement), fetch=False)


def test_a_kind_that_nobody_checks_is_told() -> None:
    strange = {"apiVersion": "example.org/v1", "kind": "Towel", "metadata": {"name": "t"}}
    assert custom_kinds.is_custom(strange)
    for builtin in ("v1", "apps/v1", "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1"):
        assert not custom_kinds.is_custom({"apiVersion": builtin, "kind": "x"})
    known = tools.custom_kinds(fetch=False)
    if known is not None:
        assert custom_kinds.complaints([strange], *known) == ["nobody knows how to check the kind Towel"]
