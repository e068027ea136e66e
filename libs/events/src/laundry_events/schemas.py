"""The committed JSON schemas of every event version, and what may change in them.

``python -m laundry_events.schemas`` writes them and refuses a change that messages already sent or readers
already deployed would not survive; ``--check`` only compares.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from laundry_events.event import Event
from laundry_events.events import EVENTS

SCHEMAS = Path(__file__).parent / "schemas"
PROSE = frozenset({"title", "description", "default", "examples"})

Schema = dict[str, Any]


def schema_of(event: type[Event]) -> Schema:
    """Return the schema of an event version as a document of its own."""
    schema = event.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:laundry:schema:{event.event_type}:{event.version}",
        **schema,
    }


def path_of(event: type[Event], folder: Path = SCHEMAS) -> Path:
    """Return the path of an event version's committed schema."""
    return folder / f"{event.event_type}.v{event.version}.json"


def _resolved(schema: Any, definitions: Schema) -> Any:
    """Inline references and drop prose, so that two schemas compare by what they allow."""
    if isinstance(schema, list):
        return [_resolved(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = definitions.get(reference.rsplit("/", 1)[-1], {})
        return _resolved({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    return {
        key: {name: _resolved(value, definitions) for name, value in item.items()}
        if key == "properties"
        else _resolved(item, definitions)
        for key, item in schema.items()
        if key not in PROSE and key not in {"$defs", "$schema", "$id"}
    }


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """List what makes ``new`` unfit to be the same version as ``old``.

    Only an optional field may come, and only an optional one may go: readers ignore what they do not know.
    Any other difference in what is allowed hurts either the messages that wait in queues (a narrower field)
    or the readers that are still deployed (a wider one).
    """
    return _compare(_resolved(old, old.get("$defs", {})), _resolved(new, new.get("$defs", {})), "body")


def _compare(old: Any, new: Any, where: str) -> list[str]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"{where}: {old!r} became {new!r}"]
    problems: list[str] = []
    old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
    old_required, new_required = set(old.get("required", [])), set(new.get("required", []))
    problems += [f"{where}.{name}: became required" for name in sorted(new_required - old_required)]
    problems += [f"{where}.{name}: is no longer required" for name in sorted(old_required - new_required)]
    for name, field in old_fields.items():
        if name in new_fields:
            problems += _compare(field, new_fields[name], f"{where}.{name}")
    for key in sorted((old.keys() | new.keys()) - {"properties", "required"}):
        problems += _compare(old.get(key), new.get(key), f"{where} ({key})")
    return problems


def render(schema: Schema) -> str:
    """Render a schema as it is committed."""
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    """Write or check the committed schemas; non-zero if one would break or is out of date."""
    parser = argparse.ArgumentParser(prog="python -m laundry_events.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with what is committed")
    arguments = parser.parse_args()
    SCHEMAS.mkdir(exist_ok=True)
    failed = False
    for event in EVENTS:
        path, schema = path_of(event), schema_of(event)
        committed = json.loads(path.read_text()) if path.exists() else None
        problems = breaking_changes(committed, schema) if committed else []
        if problems:
            failed = True
            print(f"{path.name}: make a new version instead of changing this one:", file=sys.stderr)
            print(*(f"  {problem}" for problem in problems), sep="\n", file=sys.stderr)
        elif committed != schema and arguments.check:
            failed = True
            print(f"{path.name} is out of date: run `make contracts`", file=sys.stderr)
        elif committed != schema:
            path.write_text(render(schema))
            print(f"wrote {path.name}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
