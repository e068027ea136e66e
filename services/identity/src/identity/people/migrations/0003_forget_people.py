"""People can be forgotten: pseudonyms in the audit, and what the request for it comes and goes by."""

import importlib
from typing import Any

from django.db import migrations

from laundry_events.tables import create_inbox, create_outbox, drop_inbox, drop_outbox
from laundry_service.audit import people

Statements = importlib.import_module("identity.people.migrations.0002_rights").Statements


def make(_apps: Any, schema_editor: Any) -> None:
    statements = Statements(schema_editor)
    people.create(statements)
    create_outbox(statements)
    create_inbox(statements)


def drop(_apps: Any, schema_editor: Any) -> None:
    statements = Statements(schema_editor)
    drop_inbox(statements)
    drop_outbox(statements)
    people.drop(statements)


class Migration(migrations.Migration):
    dependencies = [("people", "0002_rights")]

    operations = [migrations.RunPython(make, drop)]
