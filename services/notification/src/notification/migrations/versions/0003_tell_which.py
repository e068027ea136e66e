"""Tell listeners which notifications changed, in one notice for up to a hundred.

The notices of 0001 name a bucket of users only, so that who hears one has to search for what changed. They
stay: replicas of the release before listen for them while a new one rolls out.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

# By statement, so that a message with thousands of customers is some dozens of notices. A payload has at most
# 8,000 bytes; a hundred ids are 3,700.
TELL = """
CREATE FUNCTION notifications_told() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  PERFORM pg_notify('notification_told', string_agg(id::text, ' '))
  FROM (SELECT id, (row_number() OVER ()) / 100 AS part FROM changed) AS numbered GROUP BY part;
  RETURN NULL;
END $$;
"""
ON_INSERT = """
CREATE TRIGGER notifications_inserted AFTER INSERT ON notifications
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION notifications_told();
"""
ON_UPDATE = """
CREATE TRIGGER notifications_updated AFTER UPDATE ON notifications
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION notifications_told();
"""


def upgrade() -> None:
    op.execute(TELL)
    op.execute(ON_INSERT)
    op.execute(ON_UPDATE)


def downgrade() -> None:
    op.execute("DROP TRIGGER notifications_updated ON notifications")
    op.execute("DROP TRIGGER notifications_inserted ON notifications")
    op.execute("DROP FUNCTION notifications_told")
