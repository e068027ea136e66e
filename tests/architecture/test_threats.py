"""The threat model names tests that exist: a promise that no test shows is not one."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
NAMED = re.findall(r"([\w./-]+\.py)::(\w+)", TEXT)


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    missing = [
        f"{file}::{test}"
        for file, test in NAMED
        if not (ROOT / file).is_file() or test not in functions_of(ROOT / file)
    ]
    assert not missing, "\n".join(missing)


def test_every_threat_names_what_stops_it_and_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    threats = [row for row in rows if not row.endswith("| shown by |")]
    assert len(threats) > 30
    for row in threats:
        who, stopped_by, shown_by = (cell.strip() for cell in row.strip("|").split("|"))
        assert who
        assert stopped_by, row
        assert re.search(r"::test_", shown_by), row


def test_every_part_says_what_is_left() -> None:
    parts = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert len(parts) >= 8
    for part in parts:
        assert re.search(r"^Left open: ", part, re.MULTILINE), part.splitlines()[0]
