"""The same rooms in every service: docs/architecture.md, "Inside a service", held to."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = {path.parents[2].name: path.parent for path in ROOT.glob("services/*/src/*/app.py")}
WITH_A_DATABASE = [name for name, folder in SERVICES.items() if (folder / "migrations").is_dir()]

OLD_NAMES = {"bodies", "views", "handlers", "utils", "helpers", "common"}
# The pages and their proxy: web has neither domain nor data.
NO_DOMAIN = {"web"}
# Django keeps in an app what belongs to its tables.
DOMAIN_IN = {"identity": "people"}


def modules(folder: Path, *rooms: str) -> Iterator[Path]:
    """Yield the modules of some rooms, each of which is a file or a folder."""
    for room in rooms:
        if (folder / f"{room}.py").is_file():
            yield folder / f"{room}.py"
        yield from (folder / room).rglob("*.py")


def imports(path: Path) -> set[str]:
    """Return what a module imports, as dotted names: ``sqlalchemy.ext.asyncio.AsyncSession``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def under(names: set[str], *packages: str) -> set[str]:
    """Return those names that lie in one of the packages."""
    return {name for name in names for package in packages if f"{name}.".startswith(f"{package}.")}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_rooms_and_none_by_another_name(service: str) -> None:
    folder = SERVICES[service]
    assert (folder / "settings.py").is_file()
    names = {path.stem for path in folder.rglob("*.py")}
    assert not names & OLD_NAMES
    if service in NO_DOMAIN:
        return
    folder /= DOMAIN_IN.get(service, "")
    assert list(modules(folder, "api")), "HTTP is spoken in api"
    assert (folder / "schemas.py").is_file()
    assert list(modules(folder, "service")), "use cases are in service"
    both = [room for room in ("api", "service", "repository") if (folder / room).is_dir()]
    assert not [room for room in both if (folder / f"{room}.py").exists()]


@pytest.mark.parametrize("service", WITH_A_DATABASE)
def test_every_query_is_in_the_repository(service: str) -> None:
    folder = SERVICES[service]
    allowed = set(modules(folder, "repository", "tables", "migrations"))
    for path in set(folder.rglob("*.py")) - allowed:
        # A session is handed on, and its errors are told apart; statements are written in one place.
        found = under(imports(path), "sqlalchemy") - under(
            imports(path), "sqlalchemy.ext.asyncio", "sqlalchemy.exc"
        )
        assert not found, path.relative_to(ROOT)


@pytest.mark.parametrize("service", DOMAIN_IN)
def test_every_query_by_djangos_models_is_in_the_repository(service: str) -> None:
    folder = SERVICES[service] / DOMAIN_IN[service]
    for path in set(folder.rglob("*.py")) - set(modules(folder, "repository", "models", "migrations")):
        assert ".objects." not in path.read_text(encoding="utf-8"), path.relative_to(ROOT)


@pytest.mark.parametrize("service", SERVICES)
def test_use_cases_know_neither_http_nor_what_stands_before_them(service: str) -> None:
    folder = SERVICES[service] / DOMAIN_IN.get(service, "")
    for path in modules(folder, "service"):
        package = ".".join(folder.relative_to(SERVICES[service].parent).parts)
        above = [f"{package}.{room}" for room in ("api", "app", "subscribers")]
        outside = ("fastapi", "starlette", "laundry_service.http.problems")
        assert not under(imports(path), *above, *outside), path.relative_to(ROOT)


@pytest.mark.parametrize("service", SERVICES)
def test_endpoints_and_subscribers_open_no_transaction_to_write_in(service: str) -> None:
    for path in modules(SERVICES[service] / DOMAIN_IN.get(service, ""), "api", "subscribers"):
        calls = {
            node.func.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert "transaction" not in calls, path.relative_to(ROOT)
