"""What values.yaml says of each value: for the schema, which editors show, and for the chart's README."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from laundry_servers.errors import LaundryError

Json = dict[str, Any]
OF_A_PROCESS = "services"
"""Its values are each process's, which the schema describes once."""


@dataclass(frozen=True, slots=True)
class Value:
    """A key of values.yaml.

    Attributes:
        path: the names that lead to it.
        default: what stands there.
        meaning: the comment above it, on one line.
        section: it only holds others; what is written on one line is a value of its own.
    """

    path: tuple[str, ...]
    default: Any
    meaning: str
    section: bool


def values(text: str) -> Iterator[Value]:
    """Yield the keys of values.yaml but those of single processes."""
    return _under(yaml.compose(text), yaml.safe_load(text), text.splitlines(), ())


def _under(node: yaml.Node | None, data: Any, lines: list[str], above: tuple[str, ...]) -> Iterator[Value]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        path = (*above, str(key.value))
        section = isinstance(value, yaml.MappingNode) and not value.flow_style
        default = data[key.value]
        yield Value(path, default, _comment(lines, key.start_mark.line), section)
        if section and path != (OF_A_PROCESS,):
            yield from _under(value, default, lines, path)


def _comment(lines: list[str], line: int) -> str:
    indent = len(lines[line]) - len(lines[line].lstrip())
    found: list[str] = []
    while line and lines[line - 1].startswith(f"{' ' * indent}# ") and ">>> " not in lines[line - 1]:
        line -= 1
        found.append(lines[line].strip().removeprefix("#").strip())
    return " ".join(reversed(found))


def described(schema: Json, text: str) -> Json:
    """Return the schema with the descriptions that values.yaml gives; those in its definitions stay.

    Raises:
        LaundryError: there is a value that it does not know.
    """
    for value in values(text):
        place = schema
        for name in value.path:
            if "$ref" in place:
                break
            if name not in place.get("properties", {}):
                raise LaundryError(f"values.schema.json does not know {'.'.join(value.path)} of values.yaml")
            place = place["properties"][name]
        # Draft 7 overlooks what stands beside a reference.
        if "$ref" not in place:
            place["description"] = value.meaning
    return schema


def table(text: str, schema: Json) -> str:
    """Return the README's table of everything that can be set.

    Raises:
        LaundryError: nothing says what one of the values is.
    """
    lines = ["| value | default | what it is |", "| --- | --- | --- |"]
    for value in values(text):
        if value.path == (OF_A_PROCESS,):
            lines += _of_a_process(schema["definitions"]["service"])
            continue
        if not value.meaning:
            raise LaundryError(f"values.yaml does not say what {'.'.join(value.path)} is")
        default = "" if value.section else f"`{json.dumps(value.default, ensure_ascii=False)}`"
        name = f"**{'.'.join(value.path)}**" if value.section else f"`{'.'.join(value.path)}`"
        lines.append(f"| {name} | {_cell(default)} | {_cell(value.meaning)} |")
    return "\n".join(lines)


def _of_a_process(schema: Json) -> Iterator[str]:
    for name, of_process in schema["properties"].items():
        if "description" not in of_process:
            raise LaundryError(f"values.schema.json does not say what {name} of a process is")
        default = "by process: values.yaml" if name in schema["required"] else ""
        yield f"| `services.<process>.{name}` | {default} | {_cell(of_process['description'])} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")
