"""Every JSON request body is validated by the one base class for it."""

import ast
from pathlib import Path

import pytest

SERVICES = sorted((Path(__file__).parents[2] / "services").glob("*/src/*"))
# Parsed by hand: each sample is judged on its own, as over MQTT.
BY_HAND = {"monitoring"}


def bodies(package: Path) -> set[str]:
    """Classes that a handler takes: parameters annotated with a model of this package."""
    models: dict[str, set[str]] = {}
    taken: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                models[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
            if isinstance(node, ast.AsyncFunctionDef) and any(
                _is_route(each) for each in node.decorator_list
            ):
                for argument in node.args.args:
                    names = ast.walk(argument.annotation) if argument.annotation else []
                    taken |= {each.id for each in names if isinstance(each, ast.Name)}
    return {name for name in taken if {"BaseModel", "RequestBody"} & models.get(name, set())}


def _is_route(decorator: ast.expr) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(call, ast.Attribute) and call.attr in {"post", "put", "patch", "delete"}


@pytest.mark.parametrize("package", [each for each in SERVICES if each.name not in BY_HAND], ids=str)
def test_bodies_inherit_what_checks_them(package: Path) -> None:
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    for name in bodies(package):
        assert f"class {name}(RequestBody)" in text, name


def test_bodies_are_found() -> None:
    found = {name for package in SERVICES for name in bodies(package)}
    assert {"ConfirmationRequest", "ActIn", "DeviceIn", "TasteIn", "PreferenceIn", "NewRun"} <= found
