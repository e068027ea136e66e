"""Every column that may name a person is declared as such: what is not is neither exported nor erased."""

import importlib
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from laundry_service.personal_data.held import Held

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("services/*/src/*/tables.py"))
NAMES_A_PERSON = re.compile(
    r"(.*_)?(by|user_id|helper_id|owner_id|customer_id|person_id|subject|sub|email|name)"
)
# Columns that look so and hold something else, or are seen to elsewhere.
NOBODY = {
    ("helper", "tasks", "replaced_by"): "another task",
    ("notification", "devices", "name"): "what a phone is called; it goes with the device",
    ("monitoring", "fault", "cleared_by"): "a word of ours: sample, retired, moved",
    ("monitoring", "device_login", "signed_by"): "the fingerprint of a key",
    ("operations", "erasures", "person_id"): "emptied when the erasure is completed",
}
# Everything of these is a customer's.
OF_CUSTOMERS = {("search", "customers", "id")}


def held(package: str) -> tuple[Held, ...]:
    for module in ("held", "erasures"):
        try:
            return tuple(importlib.import_module(f"{package}.repository.{module}").HELD)
        except ModuleNotFoundError:
            continue
    return ()


def declared(package: str) -> set[tuple[str, str, str]]:
    """The columns by which a service finds what is a person's."""
    return {
        (package, column.table.name, column.name)
        for each in held(package)
        for column in sa.sql.visitors.iterate(each.whose)
        if isinstance(column, sa.Column) and isinstance(column.table, sa.Table)
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_column_that_may_name_a_person_is_declared(package: str) -> None:
    metadata: sa.MetaData = importlib.import_module(f"{package}.tables").metadata
    may = {
        (package, table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if NAMES_A_PERSON.fullmatch(column.name)
    } | {each for each in OF_CUSTOMERS if each[0] == package}
    assert may - declared(package) - NOBODY.keys() == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_what_remains_no_longer_names_the_person(package: str) -> None:
    for each in held(package):
        if each.becomes is None:
            continue
        own = {name for _, table, name in declared(package) if table == each.table.name}
        assert own & each.becomes.keys(), f"{package}: {each.name} would be found again for ever"


def test_columns_are_found() -> None:
    assert {"helper", "mlops", "notification", "operations", "search"} <= set(PACKAGES)
    assert ("helper", "tasks", "confirmed_by") in declared("helper")
