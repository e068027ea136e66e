"""One thousand events published one after another, each confirmed by a majority of the nodes for its queue
and for the history's copy.
"""

import time

from laundry_events import Publisher
from laundry_lab.bench.publishing import Copied, bare_publisher, copies, measured_event, measured_queue
from laundry_lab.bench.stage import Stage
from laundry_lab.report import percentile
from laundry_lab.verify.outcomes import Outcome, Verification

EVENTS = 1000
WARM_UP = 50
CLAUSE = "Publish 1,000 events"


async def check(stage: Stage, found: Verification) -> None:
    """Publish through ``laundry_events`` onto a quorum queue of all nodes, and with bare aiormq by turns."""
    urls = stage.document["amqp_urls"]
    number = stage.many(EVENTS, least=100)
    advance = stage.say("publishing", number)
    publisher = Publisher(urls[0], source="verify")
    event, name = measured_event(), f"verify.{stage.run}"
    copied = Copied.model_validate(event.model_dump())
    taken, bare_taken = [], []
    async with (
        measured_queue(urls[0], name, len(urls)),
        copies(urls[0], name, len(urls), Copied),
        bare_publisher(urls[0], event) as bare,
    ):
        try:
            await publisher.wait_connected(10)
            for _ in range(WARM_UP):
                await publisher.publish(copied)
            for _ in range(number):
                began = time.perf_counter()
                await publisher.publish(copied)
                taken.append(time.perf_counter() - began)
                began = time.perf_counter()
                await bare()
                bare_taken.append(time.perf_counter() - began)
                advance(1)
        finally:
            await publisher.stop()
    found.series.publish_s = taken
    found.outcomes += [
        Outcome(
            CLAUSE,
            "mean",
            1000 * sum(taken) / len(taken),
            "ms",
            10,
            5,
            note=f"{len(taken)} events of 1 KB, with the history's copy, quorum of {len(urls)} nodes",
            ceiling=1000 * sum(bare_taken) / len(bare_taken),
        ),
        Outcome(
            CLAUSE,
            "p99",
            1000 * percentile(taken, 0.99),
            "ms",
            100,
            10,
            ceiling=1000 * percentile(bare_taken, 0.99),
        ),
    ]
