"""What Kubernetes would accept and the system could not live with, in the objects that the chart renders."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from laundry_catalogue import SERVICES, Service

Object = dict[str, Any]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
PART_OF = "app.kubernetes.io/part-of"
NAME = "app.kubernetes.io/name"
# What mlops does with the cluster's API (mlops.launching.cluster).
TRAINING_RIGHTS = {"jobs": {"create", "get", "list", "watch", "delete"}, "pods": {"list"}}


def parsed(text: str) -> list[Object]:
    """Return what helm rendered, read by libyaml: ten times as fast as PyYAML's own reader."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(text, Loader=loader) if each]


def faults(objects: list[Object], services: Iterable[Service] = SERVICES) -> Iterator[str]:
    """Yield what is wrong, a sentence each.

    Args:
        objects: of one release, with the Jobs that a service makes later of templates.
    """
    pods = list(_pods(objects))
    for owner, spec, labels in pods:
        yield from _of_a_pod(owner, spec, objects)
        if labels.get(PART_OF) is None:
            yield f"{owner}: no policy is its own, as it lacks the label {PART_OF}"
    yield from _selectors(objects, [labels for _, _, labels in pods])
    yield from _training_rights(objects)
    policies = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "NetworkPolicy"}
    if policies:
        there = {labels.get(NAME) for _, _, labels in pods}
        yield from _paths(policies, [each for each in services if each.name in there])


def _pods(objects: list[Object]) -> Iterator[tuple[str, Object, Mapping[str, str]]]:
    for each in objects:
        owner = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] in {"Deployment", "Job"}:
            template = each["spec"]["template"]
            yield owner, template["spec"], template["metadata"]["labels"]
        elif each["kind"] == "CronJob":
            template = each["spec"]["jobTemplate"]["spec"]["template"]
            yield owner, template["spec"], template["metadata"]["labels"]
        elif each["kind"] == "Pod":
            yield owner, each["spec"], each["metadata"]["labels"]


def _of_a_pod(owner: str, spec: Object, objects: list[Object]) -> Iterator[str]:
    pod = spec.get("securityContext", {})
    if not pod.get("runAsNonRoot") or pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{owner}: it may run as root, or without a seccomp profile"
    account = spec.get("serviceAccountName")
    if account is None:
        yield f"{owner}: it runs under the namespace's default account, whose rights others decide"
    elif not _named(objects, "ServiceAccount", account):
        yield f"{owner}: nothing makes its service account {account}"
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        name = f"{owner}, container {container['name']}"
        own = container.get("securityContext", {})
        if (
            own.get("allowPrivilegeEscalation") is not False
            or own.get("readOnlyRootFilesystem") is not True
            or own.get("capabilities", {}).get("drop") != ["ALL"]
        ):
            yield f"{name}: it may gain rights, or write its root file system"
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get(
            "limits", {}
        ):
            yield f"{name}: it requests no cpu or memory, or its memory has no limit"
        mounted = {each["name"] for each in container.get("volumeMounts", ())}
        for volume in sorted(mounted - {each["name"] for each in spec.get("volumes", ())}):
            yield f"{name}: there is no volume {volume}"
    if owner.startswith("Deployment "):
        for probe in PROBES:
            if "httpGet" not in spec["containers"][0].get(probe, {}):
                yield f"{owner}: it has no {probe}"


def _selectors(objects: list[Object], pods: list[Mapping[str, str]]) -> Iterator[str]:
    for each in objects:
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            wanted = spec["selector"]
        elif each["kind"] in {"PodDisruptionBudget", "PodMonitor"}:
            wanted = spec["selector"]["matchLabels"]
        elif each["kind"] == "NetworkPolicy":
            wanted = spec["podSelector"]["matchLabels"]
        else:
            continue
        # The Cluster Operator makes the broker's pods.
        if not wanted.get(NAME, "").endswith("-rabbitmq") and not any(
            wanted.items() <= labels.items() for labels in pods
        ):
            yield f"{each['kind']} {each['metadata']['name']}: it selects no pod"


def _training_rights(objects: list[Object]) -> Iterator[str]:
    given: dict[str, set[str]] = {}
    for role in (each for each in objects if each["kind"] in {"Role", "ClusterRole"}):
        for rule in role["rules"]:
            for resource in rule["resources"]:
                given.setdefault(resource, set()).update(rule["verbs"])
    if given and given != TRAINING_RIGHTS:
        yield f"mlops needs the rights {_rights(TRAINING_RIGHTS)}, and the chart gives {_rights(given)}"


def _rights(rights: Mapping[str, set[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(sorted(verbs))}" for name, verbs in sorted(rights.items()))


def _paths(policies: Mapping[str, Object], services: list[Service]) -> Iterator[str]:
    """Compare who may call whom with the catalogue."""
    known = {each.name for each in services}
    for name, spec in policies.items():
        # Equipment may come to the broker from anywhere, and has to log in.
        open_to_all = any(not rule.get("from") for rule in spec.get("ingress") or ())
        if open_to_all and not name.endswith("-rabbitmq"):
            yield f"NetworkPolicy {name}: it lets anybody in"
    for caller in services:
        for peer in (each for each in caller.peers if each in known):
            for process in caller.processes:
                if peer not in _apps(_policy(policies, process.name).get("egress", ()), "to"):
                    yield f"the network policies do not let {process.name} out to {peer}"
                if process.name not in _apps(_policy(policies, peer).get("ingress", ()), "from"):
                    yield f"the network policies do not let {process.name} in to {peer}"


def _policy(policies: Mapping[str, Object], process: str) -> Object:
    for spec in policies.values():
        if spec["podSelector"]["matchLabels"].get(NAME) == process:
            return spec
    return {}


def _apps(rules: Iterable[Object], side: str) -> set[str]:
    found: set[str] = set()
    for rule in rules:
        for peer in rule.get(side) or ():
            selector = peer.get("podSelector", {})
            found.add(selector.get("matchLabels", {}).get(NAME, ""))
            for expression in selector.get("matchExpressions", ()):
                if expression["key"] == NAME:
                    found.update(expression["values"])
    return found


def _named(objects: list[Object], kind: str, name: str) -> bool:
    return any(each["kind"] == kind and each["metadata"]["name"] == name for each in objects)
