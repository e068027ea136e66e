"""The tables of the search service's own database."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

PREFERENCES_CHANNEL = "preference_stated"

metadata = sa.MetaData()


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


customers = sa.Table(
    "customers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # The sum of the weights: matching needs it for each customer.
    sa.Column("total", sa.Double, nullable=False),
    _now("updated_at"),
)

customer_tags = sa.Table(
    "customer_tags",
    metadata,
    sa.Column("tag", sa.Text, primary_key=True),
    sa.Column("customer_id", sa.Text, sa.ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("weight", sa.Double, nullable=False),
    sa.Index("customer_tags_customer", "customer_id"),
)

preferences = sa.Table(
    "preferences",
    metadata,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("branch_id", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("total", sa.Double, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("matched", sa.Integer, nullable=False, server_default="0"),
    _now("created_at"),
    sa.UniqueConstraint("branch_id", "created_by", "idempotency_key", name="preferences_once"),
    sa.Index("preferences_branch", "branch_id", sa.text("id DESC")),
    sa.Index("preferences_created_by", "created_by"),
)

preference_tags = sa.Table(
    "preference_tags",
    metadata,
    sa.Column("tag", sa.Text, primary_key=True),
    sa.Column(
        "preference_id",
        sa.Uuid(as_uuid=False),
        sa.ForeignKey("preferences.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("weight", sa.Double, nullable=False),
    sa.Index("preference_tags_preference", "preference_id"),
)

matches = sa.Table(
    "matches",
    metadata,
    sa.Column(
        "preference_id",
        sa.Uuid(as_uuid=False),
        sa.ForeignKey("preferences.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    # No foreign key: it would lock the row of every customer whom a popular preference suits.
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("reasons", ARRAY(sa.Text), nullable=False),
    sa.Index("matches_customer", "customer_id"),
)
