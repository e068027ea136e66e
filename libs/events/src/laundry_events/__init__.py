"""Typed events and their broker: publishing by an outbox, consuming with retries, dead letters and an inbox.

``__init__.pyi`` lists what is public. Each name is imported when it is first asked for: who only publishes,
or only reads the plan, does not pay the tens of megabytes that the rest costs.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

_HOMES = {
    name.name: statement.module
    for statement in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    if isinstance(statement, ast.ImportFrom) and statement.module
    for name in statement.names
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found
