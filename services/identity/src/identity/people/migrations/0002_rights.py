import uuid
from typing import Any

import django.contrib.postgres.fields
from django.db import migrations, models

from laundry_service.audit import table

ROLES = [("helper", "Helper"), ("owner", "Owner"), ("customer", "Customer"), ("operator", "Operator")]
UNACCEPTED = models.Q(accepted_at=None, withdrawn_at=None)


class Statements:
    """Runs the statements of the audit's table as alembic's operations do."""

    def __init__(self, schema_editor: Any) -> None:
        self._schema_editor = schema_editor

    def execute(self, statement: str) -> None:
        # Without parameters a % stands for itself.
        self._schema_editor.execute(statement, params=None)


def make_audit(_apps: Any, schema_editor: Any) -> None:
    table.create(Statements(schema_editor))


def drop_audit(_apps: Any, schema_editor: Any) -> None:
    table.drop(Statements(schema_editor))


class Migration(migrations.Migration):
    dependencies = [("people", "0001_initial")]

    operations = [
        migrations.RenameField("branch", "name", "name_ko"),
        migrations.AddField(
            "branch", "name_en", models.CharField(max_length=100, default=""), preserve_default=False
        ),
        migrations.AddIndex("person", models.Index(fields=["name", "id"], name="people_by_name")),
        migrations.CreateModel(
            "Invitation",
            [
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("token_hash", models.CharField(max_length=64, unique=True)),
                ("role", models.CharField(choices=ROLES, max_length=10)),
                (
                    "branches",
                    django.contrib.postgres.fields.ArrayField(models.CharField(max_length=40), default=list),
                ),
                ("note", models.CharField(blank=True, default="", max_length=100)),
                ("invited_by", models.CharField(max_length=255)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(null=True)),
                ("accepted_by", models.CharField(blank=True, default="", max_length=255)),
                ("withdrawn_at", models.DateTimeField(null=True)),
            ],
            {
                "indexes": [
                    models.Index(fields=["-created_at", "id"], name="invitations_open", condition=UNACCEPTED)
                ]
            },
        ),
        migrations.CreateModel(
            "EquipmentCredential",
            [
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("equipment_id", models.CharField(max_length=64)),
                ("branch_id", models.CharField(max_length=40)),
                ("client_id", models.CharField(max_length=100, unique=True)),
                ("created_by", models.CharField(max_length=255)),
                ("created_at", models.DateTimeField()),
                ("rotated_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
            ],
            {
                "constraints": [
                    models.UniqueConstraint(
                        fields=["branch_id", "equipment_id"],
                        condition=models.Q(revoked_at=None),
                        name="one_credential_of_a_machine",
                    )
                ]
            },
        ),
        migrations.CreateModel(
            "Denial",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sub", models.CharField(max_length=255)),
                ("issued_before", models.DateTimeField()),
                ("until", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.RunPython(make_audit, drop_audit),
    ]
