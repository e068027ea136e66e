"""Adding an entry to a tuple in a Python file, and leaving every other line as it is."""

import ast
import textwrap

from laundry_servers.errors import LaundryError


def append_to(source: str, name: str, entry: str) -> str:
    """Return a module's text with one more entry at the end of a tuple that is written one entry a line.

    Args:
        name: the variable that holds the tuple, or ``VARIABLE.argument`` of the call that it holds.
        entry: whole lines, with the comma at their end.

    Raises:
        LaundryError: there is no such tuple.
    """
    found = _tuple(ast.parse(source), *name.split("."))
    if found is None or found.end_lineno is None or found.end_lineno == found.lineno:
        raise LaundryError(f"No tuple {name}, one entry a line, was found. Add this to it:\n{entry}")
    lines = source.splitlines(keepends=True)
    closing = found.end_lineno - 1
    indent = lines[closing][: len(lines[closing]) - len(lines[closing].lstrip())] + " " * 4
    lines.insert(closing, textwrap.indent(entry, indent))
    return "".join(lines)


def _tuple(module: ast.Module, variable: str, argument: str = "") -> ast.Tuple | None:
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == variable:
                if argument and isinstance(value, ast.Call):
                    value = next((each.value for each in value.keywords if each.arg == argument), value)
                return value if isinstance(value, ast.Tuple) else None
    return None
