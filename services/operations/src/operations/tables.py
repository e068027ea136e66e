"""Tables of erasures and of whom the history means; those of dead letters and jobs need no SQLAlchemy."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()

_time = sa.DateTime(timezone=True)

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # Null once it is completed: then nothing here tells who it was.
    sa.Column("person_id", sa.Text),
    sa.Column("tombstone", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("requested_at", _time, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    # Nothing can bring the person back after this attempt: it is the last.
    sa.Column("final", sa.Boolean, nullable=False, server_default=sa.false()),
    # Dead letters that name the person, as they were counted last; null before.
    sa.Column("dead_letters", sa.Integer),
    sa.Column("completed_at", _time),
    # Since when no dead letter names the person; null while one does, and before it was looked.
    sa.Column("clear_since", _time),
    # When the services were asked last.
    sa.Column("asked_at", _time),
    sa.Index(
        "erasures_open_once", "person_id", unique=True, postgresql_where=sa.text("completed_at IS NULL")
    ),
)

erasure_parts = sa.Table(
    "erasure_parts",
    metadata,
    sa.Column("erasure_id", sa.Text, sa.ForeignKey("erasures.id"), primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    # The last attempt that the service has confirmed; null before the first.
    sa.Column("attempt", sa.Integer),
    sa.Column("rows", JSONB, nullable=False, server_default="{}"),
    sa.Column("forgotten_at", _time),
)

history_people = sa.Table(
    "history_people",
    metadata,
    # What the history says in place of a person, for good.
    sa.Column("pseudonym", sa.Text, primary_key=True),
    # Null once the person is erased: then nothing tells who it was, and the tombstone stands for them.
    sa.Column("person_id", sa.Text, unique=True),
    sa.Column("tombstone", sa.Text),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("action", sa.Text),
    sa.Column("queue", sa.Text),
    sa.Column("why", sa.Text),
    sa.Column("by", sa.Text),
    sa.Column("state", sa.Text),
    sa.Column("created_at", _time),
)
