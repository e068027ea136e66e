"""The walls between packages and between a service's rooms, held against every import of the code.

Packages and modules are found by where they lie, so whatever is added is held to the rules at once.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import grimp
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
FOLDERS = ("libs", "services", "tools")
HOMES = {
    init.parent.name: init.parents[2]
    for folder in FOLDERS
    for init in ROOT.glob(f"{folder}/*/src/*/__init__.py")
}
"""Each package's folder, which holds its pyproject.toml."""
LIBRARIES, SERVICES, TOOLS = (
    {name for name, home in HOMES.items() if home.parent.name == folder} for folder in FOLDERS
)


@cache
def graph(*, at_run: bool = False) -> grimp.ImportGraph:
    """Every import of the code; or those only that are made when it runs."""
    return grimp.build_graph(
        *HOMES, include_external_packages=True, exclude_type_checking_imports=at_run, cache_dir=None
    )


# From the top: each may import what stands below it, and nothing beside it.
LAYERS = (
    {"laundry_cluster", "laundry_lab"},
    {*SERVICES, *TOOLS} - {"laundry_cluster", "laundry_lab"},
    {"laundry_testing"},
    {"laundry_catalogue", "laundry_dead_letters", "laundry_learning", "laundry_servers"},
    {"laundry_service"},
    {"laundry_events", "laundry_look", "laundry_reading"},
)

FRAMEWORKS = {
    "aio_pika", "aiormq", "alembic", "allauth", "asyncpg", "boto3", "botocore", "django",
    "fastapi", "faststream", "firebase_admin", "httpx", "laundry_service", "obstore", "prometheus_client",
    "sqlalchemy", "starlette", "uvicorn",
}  # fmt: skip
# The rooms of a service that speak with the world. Whatever stands outside them is a rule of the business.
ROOMS = {
    "__main__", "api", "app", "migrations", "repository", "schemas", "service", "settings", "stream",
    "subscribers", "tables",
}  # fmt: skip
# Django's, in the identity service; the rooms above are those of its app with the tables.
ROOMS |= {
    "admin", "apps", "asgi", "configuration", "database", "errors", "memory", "migrate", "models", "oidc",
    "routing", "texts", "urls",
}  # fmt: skip
DJANGO_APPS = {"identity.people"}
# Programs that mlops starts as processes or jobs of their own.
PROGRAMS = {"mlops.full", "mlops.jobs", "mlops.refit"}
# Single modules that stand for something outside their service.
ADAPTERS = {
    "helper.decoder",  # a process for pictures
    "helper.sweep",
    "identity.people.invitation_page",
    "identity.style",
    "mlops.launching.cluster",
    "mlops.launching.kubernetes",
    "mlops.manifests",  # object store
    "mlops.replicas",
    "notification.fcm",
    "notification.push_outage",
    "notification.web_push.pusher",
    "web.auth.clients",
    "web.auth.provider",
    "web.auth.routes",
    "web.auth.sessions",
    "web.auth.settings",
    "web.auth.signing_in",
    "web.event_streams",
    "web.pages",
    "web.proxy",
}


def imports(package: str) -> set[str]:
    """What the modules of a package import themselves, as dotted names."""
    modules = {package, *graph().find_descendants(package)}
    return {each for module in modules for each in graph().find_modules_directly_imported_by(module)}


def tops(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_packages_stand_in_layers() -> None:
    broken = graph().find_illegal_dependencies_for_layers(
        layers=[grimp.Layer(*layer, independent=True) for layer in LAYERS]
    )
    assert not broken, "\n".join(
        f"{each.importer} imports {each.imported}: {sorted(route.heads)} -> {sorted(route.tails)}"
        for each in broken
        for route in each.routes
    )


def test_every_package_has_its_layer() -> None:
    assert set().union(*LAYERS) == HOMES.keys()


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_nobody_imports_a_service(service: str) -> None:
    assert not {package for package in HOMES.keys() - {service} if service in tops(imports(package))}


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


PROJECTS: dict[str, dict[str, Any]] = {
    package: tomllib.loads((home / "pyproject.toml").read_text())["project"]
    for package, home in HOMES.items()
}
OURS = {canonical(project["name"]): project for project in PROJECTS.values()}
DISTRIBUTIONS = {
    module: {canonical(name) for name in names} for module, names in metadata.packages_distributions().items()
} | {package: {canonical(project["name"])} for package, project in PROJECTS.items()}
# Only a comparison installs these, for itself.
DISTRIBUTIONS |= {"zmq": {"pyzmq"}, "nats": {"nats-py"}}


def required(distribution: str) -> list[str]:
    if distribution in OURS:
        return list(OURS[distribution].get("dependencies", []))
    try:
        return metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:  # for another system, or for the training alone
        return []


def carried(package: str) -> set[str]:
    """The distributions of an environment that is made for this package alone."""
    further = [
        line for file in HOMES[package].glob("*requirements.in") for line in file.read_text().splitlines()
    ]
    left = [Requirement(line) for line in further if line and not line.startswith(("#", "-"))]
    left.append(Requirement(PROJECTS[package]["name"]))
    seen: dict[str, set[str]] = {}
    while left:
        wanted = left.pop()
        name = canonical(wanted.name)
        fresh = {"", *wanted.extras} - seen.setdefault(name, set())
        seen[name] |= fresh
        for each in map(Requirement, required(name) if fresh else []):
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in fresh):
                left.append(each)
    return set(seen)


def optional(package: str) -> set[str]:
    """The distributions that a package can do without, and says so."""
    extras = PROJECTS[package].get("optional-dependencies", {})
    return {canonical(Requirement(each).name) for extra in extras.values() for each in extra}


@pytest.mark.parametrize("package", sorted(HOMES))
def test_an_environment_has_what_its_package_imports(package: str) -> None:
    there = carried(package) | optional(package)
    foreign = tops(imports(package)) - sys.stdlib_module_names - {package}
    missing = {module for module in foreign if not DISTRIBUTIONS.get(module, {canonical(module)}) & there}
    assert not missing, f"name them in {HOMES[package].relative_to(ROOT)}/pyproject.toml"


@pytest.mark.parametrize("package", sorted(HOMES.keys() - {"laundry_lab"}))
def test_only_the_lab_carries_what_draws_and_loads(package: str) -> None:
    assert not {"matplotlib", "aiomqtt", "laundry-lab"} & carried(package)


@pytest.mark.parametrize("package", sorted(SERVICES))
def test_no_service_carries_a_tool_or_what_trains(package: str) -> None:
    tools = {canonical(PROJECTS[tool]["name"]) for tool in TOOLS}
    assert not {"torch", "laundry-servers", "laundry-testing", *tools} & carried(package)


def room(module: str) -> str:
    """The room that a module of a service stands in."""
    service, first, *further = module.split(".")
    return further[0] if further and f"{service}.{first}" in DJANGO_APPS else first


def rules(service: str) -> list[str]:
    """The modules of a service that stand in none of the rooms, are no program of its own and no adapter."""
    return sorted(
        module
        for module in graph().find_descendants(service)
        if room(module) not in ROOMS
        and ".".join(module.split(".")[:2]) not in PROGRAMS
        and module not in ADAPTERS
    )


def frameworks_behind(module: str) -> list[str]:
    """The frameworks that a module needs to be imported, whether itself or through others."""
    return sorted(
        each for each in graph(at_run=True).find_upstream_modules(module) if tops([each]) & FRAMEWORKS
    )


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_rules_reach_no_framework(service: str) -> None:
    found = {module: reached[0] for module in rules(service) if (reached := frameworks_behind(module))}
    chains = [graph(at_run=True).find_shortest_chain(*pair) or () for pair in found.items()]
    assert not found, "move into one of ROOMS: " + ", ".join(" -> ".join(chain) for chain in chains)


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_an_adapter_reaches_a_framework(adapter: str) -> None:
    assert frameworks_behind(adapter), "it is free of frameworks: no exception needed"


def test_nobody_publishes_around_the_library() -> None:
    for service in SERVICES:
        for path in (HOMES[service] / "src").rglob("*.py"):
            text = path.read_text()
            assert "basic_publish" not in text and "broker.publish" not in text, (service, path.name)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_can_be_ended_first_and_keeps_out_what_it_does_not_use(service: str) -> None:
    lines = (HOMES[service] / "src" / service / "__main__.py").read_text().splitlines()
    ours = [
        line
        for line in lines
        if line.startswith(("import ", "from ")) and tops(line.split()[1:2]) & HOMES.keys()
    ]
    assert [line.split()[1] for line in ours[:2]] == [
        "laundry_service.ends_at_sigterm",
        "laundry_service.left_out",
    ]


@pytest.mark.parametrize(
    ("app", "unneeded"),
    [
        ("web", {"sqlalchemy", "asyncpg", "faststream", "obstore"}),
        ("ai_consumer", {"sqlalchemy", "asyncpg"}),
        ("helper", {"numpy", "onnxruntime"}),
        ("search", {"numpy", "obstore"}),
    ],
)
def test_a_service_loads_no_library_that_it_has_no_use_for(app: str, unneeded: set[str]) -> None:
    script = (
        f"import sys, laundry_service.left_out, {app}.app; print(*(n for n in sys.modules if sys.modules[n]))"
    )
    command = [sys.executable, "-c", script]
    loaded = tops(
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    )
    assert not loaded & (unneeded | {"rich", "redis", "watchfiles"})
