"""The documents name what exists: links lead somewhere, and paths, modules, commands and faults are there."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from click import Context

from laundry.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "deploy/**/*.md",
        "libs/*/*.md",
        "services/*/*.md",
        "tools/*/*.md",
        "models/*.md",
    )
    for path in ROOT.glob(pattern)
)
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
PACKAGES = {path.parent.name: path.parent for path in ROOT.glob("*/*/src/*/__init__.py")}
# Told about in the past tense only.
NO_LONGER = {"LAUNDRY_FAULT_PUSH_BUDGET_S"}
STATES = (
    "done",
    "partly",
    "differently",
    "**not done**",
    "not done",
    "added",
    "**not reached**",
    "not shown",
)


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors_of(text: str) -> set[str]:
    """Headings' anchors as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", without_code(text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(TEXTS[page])):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif (
            anchor and target.suffix == ".md" and anchor not in anchors_of(target.read_text(encoding="utf-8"))
        ):
            broken.append(f"{link}: no such heading")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("page", [name for name in PAGES if not name.startswith("docs/how-to/")])
def test_paths_and_modules_exist(page: str) -> None:
    missing = []
    for quoted in re.findall(r"`([^`\n]+)`", without_code(TEXTS[page])):
        word = quoted.split()[0].split("::")[0].rstrip("/") if quoted.split() else ""
        if re.fullmatch(r"test_\w+\.py", word) and not any(ROOT.glob(f"*/**/tests/**/{word}")):
            missing.append(word)
        if re.fullmatch(r"(libs|services|tools|tests|docs|deploy)/[\w./-]+", word) and not (
            (ROOT / word).exists() or ((ROOT / page).parent / word).exists()
        ):
            missing.append(word)
        for module in re.findall(r"\b(laundry_\w+(?:\.\w+)+)", quoted):
            package, *rest = module.split(".")
            if package in PACKAGES and not is_there(PACKAGES[package], rest):
                missing.append(module)
    assert not missing, "\n".join(missing)


def is_there(folder: Path, names: list[str]) -> bool:
    """Whether a dotted path leads to a module, or to a name in one."""
    for place, name in enumerate(names):
        if (folder / name).is_dir():
            folder /= name
        elif (folder / f"{name}.py").is_file():
            return place + 1 >= len(names) - 1
        else:
            texts = [path.read_text(encoding="utf-8") for path in folder.glob("__init__.py*")]
            return place == len(names) - 1 and any(
                name in (getattr(node, "name", None), getattr(node, "value", None))
                for text in texts
                for node in ast.walk(ast.parse(text))
            )
    return True


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page, target)
        for page, text in TEXTS.items()
        for target in re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text, re.MULTILINE)
    }
    assert not {each for each in named if each[1] not in targets}


def test_commands_exist() -> None:
    tool: Any = typer.main.get_command(app)
    unknown = set()
    for page, text in TEXTS.items():
        for line in re.findall(r"`([^`\n]+)`|^ *([^`\n|]*)$", text, re.MULTILINE):
            for named, second in re.findall(
                r"(?:^\s*|\.venv/bin/)laundry ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", line[0] or line[1]
            ):
                command = tool.get_command(Context(tool), named)
                within = getattr(command, "commands", None)
                if command is None or (second and within and second not in within):
                    unknown.add(f"{page}: laundry {named} {second}")
    assert not unknown, unknown


def test_settings_and_metrics_exist() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for pattern in ("*/*/src/**/*.py", "*/*/tests/**/*.py", "*.yml", "conftest.py", "deploy/**/*.yaml")
        for path in ROOT.glob(pattern)
    )
    fields = set(re.findall(r"^    (\w+): ", code, re.MULTILINE))
    words = set(re.findall(r"\w+", code.replace(".", "_")))
    unknown = set()
    for page, text in TEXTS.items():
        for name in re.findall(r"LAUNDRY_[A-Z_]*[A-Z]\b", text):
            if name not in words and name[8:].lower() not in fields and name not in NO_LONGER:
                unknown.add(f"{page}: {name}")
        for name in re.findall(r"`laundry_([a-z_]+?)(?:_total|_bytes|_seconds)?(?:\{\w+\})?`", text):
            if not any(name in word for word in words):
                unknown.add(f"{page}: laundry_{name}")
    assert not unknown, unknown


def test_guarantees_name_every_fault_and_no_other() -> None:
    table = [line for line in TEXTS["docs/guarantees.md"].splitlines() if line.startswith("| ")]
    shown = {
        word for line in table for word in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", line.rsplit("|", 2)[1])
    }
    names = {
        name
        for path in ROOT.glob("tools/lab/src/**/*.py")
        for name in re.findall(r"\bFault\(\s*\"([a-z0-9-]+)\"", path.read_text(encoding="utf-8"))
    }
    assert len(names) > 30
    assert names <= shown, sorted(names - shown)


def test_each_requirement_has_a_state_and_what_shows_it() -> None:
    rows = 0
    for part in re.split(r"^## ", TEXTS["docs/requirements.md"], flags=re.MULTILINE)[1:]:
        table = [line for line in part.splitlines() if line.startswith("|")]
        if not table or not table[0].endswith("| state |"):
            continue
        for line in table[2:]:
            cells = [cell.strip() for cell in line[1:-1].split("|")]
            assert cells[-1].startswith(STATES) or cells[-1] == "not applicable", line
            if cells[-1] == "done":
                assert any("`" in cell or re.search(r"\d", cell) for cell in cells[2:-1]), line
            rows += 1
    assert rows > 50
