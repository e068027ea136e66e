"""A person is exported and forgotten: phones, what they were told, and where owners were seen."""

import json

import pytest
import sqlalchemy as sa

from laundry_events import Outbox
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import AT_ONCE, PersonalData
from laundry_testing.erasing import person_erased
from laundry_testing.traces import in_database
from notification.repository.held import HELD
from notification.tables import deliveries, notifications

from .conftest import World

pytestmark = pytest.mark.servers

WHO, OTHER = "owner-kim", "owner-lee"
TOLD = AT_ONCE + 20
MANY = sa.text("""
WITH told AS (
  INSERT INTO notifications (id, user_id, kind, about, event_id, branch_id, texts, data, state)
  SELECT gen_random_uuid(), :who, 'equipment_fault', 'fault:' || n, n, 'b1', '{}', '{}', 'sent'
  FROM generate_series(1, :number) n RETURNING id
)
INSERT INTO deliveries (notification_id, token, kind, state)
SELECT id, :token, 'equipment_fault', 'sent' FROM told
""")


async def test_an_owner_with_a_long_history_is_forgotten_a_part_at_a_time(
    alone: World, database_url: str
) -> None:
    tokens = {sub: await alone.register("owner", "b1", sub=sub) for sub in (WHO, OTHER)}
    async with alone.database.transaction() as session:
        for sub, token in tokens.items():
            await session.execute(MANY, {"who": sub, "token": token, "number": TOLD})
    own = alone.identity.bearer("owner", "b1", sub=WHO)
    answer = await alone.http.post("/personal-data", json={}, headers=own)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1] == {"rows": len(lines) - 1}
    kinds = [line["kind"] for line in lines[:-1]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "devices": 1,
        "notifications": TOLD,
        "branches_seen": 1,
    }
    assert tokens[WHO] not in answer.text, "a phone's token is a secret"

    erasures = Erasures(alone.database, Outbox("notification"), PersonalData(alone.database, HELD))
    event, meta = person_erased(WHO)
    await erasures.erase(event, meta)
    assert await in_database(database_url, [WHO, tokens[WHO]]) == []
    async with alone.database.session() as session:
        for table in (notifications, deliveries):
            kept = await session.scalar(sa.select(sa.func.count()).select_from(table))
            assert kept == TOLD, "the other's stay"
