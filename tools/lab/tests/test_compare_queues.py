"""One queue for four kinds of messages, and a queue for each, on a real broker."""

import pytest

from laundry_lab.compare.queues.trial import LAYOUTS, Layout, trial
from laundry_testing.plugin import Vhost

NUMBER = 80


@pytest.mark.servers
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
async def test_who_filters_is_given_what_is_for_others(vhost: Vhost, layout: Layout) -> None:
    found = await trial(vhost.amqp_url, layout, "backlog", [0.0] * NUMBER)
    if layout.shared:
        assert found["backlog_deliveries"] > 1.5
    else:
        assert (found["backlog_deliveries"], found["backlog_missing"]) == (1, 0)
    assert 0 < found["backlog_p50_ms"] <= found["backlog_p99_ms"]
