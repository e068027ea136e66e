"""A migration of a table that may be large holds nobody up."""

import re
from pathlib import Path

import pytest

from laundry_service.storage.revision import known

ROOT = Path(__file__).parents[2]
# Written before there was a way that locks nothing; what they mean stays.
BEFORE = {
    "helper": "0008",
    "mlops": "0005",
    "monitoring": "0006",
    "notification": "0008",
    "operations": "0004",
    "search": "0003",
}
HOLDS_UP = re.compile(
    r"op\.(create_index|drop_index|create_check_constraint|create_foreign_key|create_unique_constraint"
    r"|create_primary_key|alter_column|batch_alter_table)\(\s*[\"'](?P<name>\w+)[\"'](,\s*[\"'](?P<of>\w+)[\"'])?"
    r"|\b(UPDATE|DELETE FROM|CREATE (UNIQUE )?INDEX(?! CONCURRENTLY)) (?P<rows>\w+)"
)
MAKES = re.compile(r"create_table\(\s*[\"'](\w+)[\"']")


def held_up(text: str) -> set[str]:
    """Return what a migration does to tables that it did not make itself and that lets others wait."""
    made = set(MAKES.findall(text))
    return {
        found.group(0)
        for found in HOLDS_UP.finditer(text)
        if not made & {found["name"], found["of"], found["rows"]}
    }


def newer() -> list[Path]:
    return [
        file
        for package, last in BEFORE.items()
        for file in sorted(
            (ROOT / "services" / package / "src" / package / "migrations/versions").glob("[0-9]*.py")
        )
        if file.name[:4] > last
    ]


@pytest.mark.parametrize("file", newer(), ids=lambda file: f"{file.parents[2].name}-{file.stem}")
def test_a_new_migration_holds_nobody_up(file: Path) -> None:
    assert not held_up(file.read_text()), "use laundry_service.storage.online, or fill in slices"


def test_every_service_with_migrations_is_held_to_it() -> None:
    services = {init.parent.name for init in ROOT.glob("services/*/src/*/__init__.py")}
    assert {name for name in services if (found := known(name)) and not found.app} == BEFORE.keys()


@pytest.mark.parametrize(
    "text",
    [
        'op.create_index("tasks_day", "tasks", ["day"])',
        'op.execute("UPDATE tasks SET day = 1")',
        'op.execute("CREATE UNIQUE INDEX tasks_day ON tasks (day)")',
        'op.alter_column("tasks", "day", nullable=False)',
    ],
)
def test_what_holds_up_is_noticed(text: str) -> None:
    assert held_up(text)


def test_what_a_migration_makes_itself_nobody_waits_for() -> None:
    assert not held_up('op.create_table("days")\nop.create_index("days_day", "days", ["day"])')
    assert not held_up(
        'create_index(op, "tasks_day", "tasks", "day")\nop.add_column("tasks", sa.Column("day"))'
    )
