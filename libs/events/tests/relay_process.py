"""A relay in a process of its own that takes a batch and gets no confirm: run and killed by a test."""

import asyncio
import sys

from laundry_events import Publisher, Relay
from laundry_events.envelope import OutgoingEvent


class Unconfirmed(Publisher):
    """Publishes and is never told so."""

    async def send_event(self, outgoing: OutgoingEvent) -> None:
        print("claimed", flush=True)
        await asyncio.Event().wait()


async def main() -> None:
    amqp_url, database_url = sys.argv[1:]
    publisher = Unconfirmed(amqp_url, source="killed")
    await publisher.wait_connected()
    await Relay(database_url, publisher).start()
    await asyncio.sleep(120)


if __name__ == "__main__":
    asyncio.run(main())
