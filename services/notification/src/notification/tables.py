"""The tables of the notification service's own database."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

CHANGES_CHANNEL = "notification_told"

metadata = sa.MetaData()


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


devices = sa.Table(
    "devices",
    metadata,
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("platform", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("branches", ARRAY(sa.Text), nullable=False),
    _now("created_at"),
    _now("registered_at"),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    # A browser's, whose token is its endpoint.
    sa.Column("p256dh", sa.Text),
    sa.Column("auth", sa.Text),
    # When a push that its user asked for to try it was taken.
    sa.Column("tried_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("(p256dh IS NULL) = (auth IS NULL)", name="devices_keys"),
    sa.Index("devices_user", "user_id", "role"),
    sa.Index("devices_branches", "branches", postgresql_using="gin"),
)

# Owners who were seen with a branch in their token: they have a history even without a device.
owner_branches = sa.Table(
    "owner_branches",
    metadata,
    sa.Column("branch_id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text, primary_key=True),
    # Who was there first rings first.
    _now("since"),
    _now("seen_at"),
)

# What nobody needs to be told of any more, whichever message comes first: a fault that somebody takes care
# of, what a branch has taken back.
settled = sa.Table(
    "settled",
    metadata,
    sa.Column("about", sa.Text, primary_key=True),
    _now("noted_at"),
)

notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    # What it is about (fault:<id>, preference:<id>): however often that is told, a user has one row of it.
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("branch_id", sa.Text, nullable=False),
    sa.Column("texts", JSONB, nullable=False),
    sa.Column("data", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    _now("created_at"),
    _now("changed_at"),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    # Of recommendations: what it says, so that the same is not told twice, and when it took its place among
    # those of the week.
    sa.Column("content", sa.Text),
    sa.Column("admitted_at", sa.DateTime(timezone=True)),
    # Of the event that it tells: its pushes go on with that trace.
    sa.Column("traceparent", sa.Text),
    sa.UniqueConstraint("about", "user_id", name="notifications_once"),
    sa.Index("notifications_history", "user_id", sa.text("id DESC")),
    sa.Index("notifications_changed", "user_id", "changed_at"),
    sa.Index("notifications_created", "created_at"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column(
        "notification_id",
        sa.Uuid(as_uuid=False),
        sa.ForeignKey("notifications.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("token", sa.Text, sa.ForeignKey("devices.token", ondelete="CASCADE"), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    _now("next_attempt_at"),
    sa.Column("last_error", sa.Text),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    # The tag of the phone's alert that tells it; null while none does.
    sa.Column("alert", sa.Text),
    sa.Index("deliveries_token", "token"),
    sa.Index("deliveries_alert", "token", "alert", postgresql_where=sa.text("alert IS NOT NULL")),
    sa.Index(
        "deliveries_faults_waiting",
        "token",
        postgresql_where=sa.text("state = 'pending' AND kind = 'equipment_fault'"),
    ),
    sa.Index(
        "deliveries_due",
        "next_attempt_at",
        postgresql_where=sa.text("state = 'pending' AND kind = 'branch_match'"),
    ),
    sa.Index(
        "deliveries_again",
        "next_attempt_at",
        postgresql_where=sa.text("state = 'pending' AND kind = 'branch_match' AND attempts > 0"),
    ),
)

# What a phone shows of a branch's faults, and when it is next told: one row however many faults there are.
# No foreign key: storing a fault must not wait for a change of the device.
fault_alerts = sa.Table(
    "fault_alerts",
    metadata,
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("branch_id", sa.Text, primary_key=True),
    # Null while nothing waits.
    sa.Column("due_at", sa.DateTime(timezone=True)),
    # Lease: until then one process is pushing it; if that dies, others take over.
    sa.Column("leased_until", sa.DateTime(timezone=True)),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    # The alert group that the phone shows now.
    sa.Column("tag", sa.Text),
    sa.Column("began_at", sa.DateTime(timezone=True)),
    sa.Column("pushed_at", sa.DateTime(timezone=True)),
    sa.Column("pushes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("quiet_until", sa.DateTime(timezone=True)),
    # When it made a sound, of the last minute.
    sa.Column("rang", ARRAY(sa.DateTime(timezone=True)), nullable=False, server_default="{}"),
    sa.Index("fault_alerts_due", "due_at", postgresql_where=sa.text("due_at IS NOT NULL")),
)

# What each customer said last of being told of branches. Who decides what he is told holds the row.
consents = sa.Table(
    "consents",
    metadata,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("given", sa.Boolean, nullable=False),
    sa.Column("text_version", sa.Text),
    sa.Column("per_week", sa.Integer, nullable=False),
    sa.Column("time_zone", sa.Text),
    _now("changed_at"),
    sa.Column("stop_key", sa.Text, nullable=False, unique=True),
)

# All that customers said of it, with the words that they were shown; only added to.
consent_records = sa.Table(
    "consent_records",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("given", sa.Boolean, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("via", sa.Text, nullable=False),
    sa.Column("text_version", sa.Text),
    sa.Column("language", sa.Text),
    sa.Column("text", JSONB),
    sa.Index("consent_records_of", "customer_id", "id"),
)

# What the release before counted by; it goes with the next.
match_quota = sa.Table(
    "match_quota",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("pushes", sa.Integer, nullable=False),
)
