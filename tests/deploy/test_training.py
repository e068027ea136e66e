"""Training in a cluster: what its chart asks for and gives, and what its image installs."""

import json
import re

import jsonschema
import pytest
import yaml

from laundry.paths import PROJECT
from tests.deploy.test_chart import SCHEMA, TEMPLATES, VALUES, named, rendered


def test_a_full_training_needs_its_photos_and_no_secret_of_its_own() -> None:
    jsonschema.validate({"training": {**VALUES["training"], "jobs": "process"}}, SCHEMA)
    full = {**VALUES["training"]["full"], "enabled": True}
    for wrong in ({"jobs": "cron"}, {"full": full}, {"full": {**full, "photosClaim": "Not A Name"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"training": {**VALUES["training"], **wrong}}, SCHEMA)
    assert "automountServiceAccountToken: false" in TEMPLATES["_training.tpl"]


def test_who_trains_and_looks_at_photos_is_given_no_secret() -> None:
    text = TEMPLATES["_training.tpl"]
    run, sandbox = text[text.index("containers:") : text.index("\n      volumes:")].split("- name: sandbox\n")
    # No environment at all, and no folders but its own and those it works on.
    for word in ("env:", "envFrom", "secretKeyRef", "fromSecret", "laundry.environment", "configMapRef"):
        assert word not in sandbox, word
    assert re.findall(r"- name: (\S+)\n\s+mountPath: (\S+)", sandbox) == [
        ("sandbox-tmp", "/tmp"),
        ("exchange", "/exchange"),
        ("photos", "/photos"),
        ("work", "/work"),
    ]
    assert 'ternary "mlops-training" "mlops" $full' in sandbox
    # The container with the secrets has no torch, and asks the other container.
    assert "mlops-training" not in run
    assert "LAUNDRY_SANDBOX_SOCKET" in run
    assert "shareProcessNamespace" not in text


def test_a_run_reads_what_mlops_reads_and_its_policy_leads_to_no_broker() -> None:
    objects = rendered()
    [mlops] = named(objects, "Deployment", "laundry-mlops")["spec"]["template"]["spec"]["containers"]
    templates = named(objects, "ConfigMap", "laundry-training")["data"]
    assert templates.keys() == {"refit.json", "full.json"}
    for text in templates.values():
        run = json.loads(text)["spec"]["template"]["spec"]["containers"][0]
        # In the same words: the template leaves nothing out of what it is given.
        own = [each for each in mlops["env"] if each in run["env"]]
        assert {each["name"] for each in own} >= {"LAUNDRY_AMQP_URL", "LAUNDRY_DATABASE_URL"}
    egress = named(objects, "NetworkPolicy", "laundry-training")["spec"]["egress"]
    assert not {port["port"] for rule in egress for port in rule["ports"]} & {5671, 5672}
    # Helm's merge takes what is false, 0 or empty for missing: it leaves nothing out.
    for name, template in TEMPLATES.items():
        assert not re.search(r'merge \(dict [^)]*" (?:false|0|"")[ )]', template), name


def test_what_training_installs_is_known_by_its_hash_and_names_no_index() -> None:
    folder = PROJECT / "tools" / "training"
    for name in (
        "training-requirements.txt",
        "training-requirements-cuda.txt",
        "training-requirements-cpu.txt",
    ):
        text = (folder / name).read_text()
        assert not re.search(r"https?://|--(extra-)?index|--find-links|^-[irfe]", text, re.MULTILINE), name
        blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
        for block in blocks:
            assert re.match(r"[a-z0-9-]+==[^ ]+( |$)", block), block[:80]
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block[:80]
    plain = (folder / "training-requirements.txt").read_text()
    for wanted in re.findall(r"^([a-z]+)", (folder / "training-requirements.in").read_text(), re.MULTILINE):
        assert re.search(rf"^{wanted}==", plain, re.MULTILINE), wanted
    assert "--require-hashes" in (PROJECT / "Makefile").read_text()
    assert "--require-hashes" in (PROJECT / "deploy" / "docker" / "Dockerfile").read_text()


def test_mlops_may_do_with_jobs_what_it_asks_for_and_no_more() -> None:
    text = TEMPLATES["training.yaml"]
    rules = yaml.safe_load(text[text.index("rules:") : text.index("---\napiVersion: rbac")])["rules"]
    assert {resource: rule["verbs"] for rule in rules for resource in rule["resources"]} == {
        "jobs": ["create", "get", "list", "watch", "delete"],
        "pods": ["list"],
    }
    assert "ClusterRole" not in text
