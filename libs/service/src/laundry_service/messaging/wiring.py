"""A service's connections to the broker, put together in one call."""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from laundry_events import Publisher
from laundry_service.http.health import Check
from laundry_service.settings import ServiceSettings

if TYPE_CHECKING:
    from laundry_events import Dependency, EventConsumer, Relay
    from laundry_service.messaging.lifecycle import ConsumerLifecycle
    from laundry_service.storage.database import Database


class Messaging:
    """How a service publishes, relays its outbox and consumes.

    Whoever never asks for ``consumer`` consumes nothing and does not load FastStream.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        service: str,
        version: str,
        process: str | None = None,
        relays_outbox_of: "Database | None" = None,
        depends_on: Sequence["Dependency"] = (),
        consumes_after: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Take what connects. Nothing connects yet.

        Args:
            service: who speaks in the events; its version is noted on dead letters.
            process: the name of the connection that consumes, where a service has several processes.
            relays_outbox_of: the database whose outbox is published from here.
            depends_on: servers without which no message can be handled: while one is away messages are held.
            consumes_after: returns once this process can handle messages; until then others have them.
        """
        self._settings = settings
        self._service = service
        self._version = version
        self._process = process or service
        self._depends_on = depends_on
        self._consumes_after = consumes_after
        self._url = settings.amqp_url.get_secret_value()
        self.publisher = Publisher(self._url, source=service)
        self.relay = None if relays_outbox_of is None else _relay(relays_outbox_of, self.publisher)
        self.consuming: ConsumerLifecycle | None = None

    @cached_property
    def consumer(self) -> "EventConsumer":
        """What subscribers register with."""
        from laundry_events import EventConsumer, make_broker  # noqa: PLC0415 - 20 MB of FastStream
        from laundry_service.messaging.lifecycle import ConsumerLifecycle  # noqa: PLC0415
        from laundry_service.messaging.signing import message_signer  # noqa: PLC0415

        settings = self._settings
        broker = make_broker(self._url, service=self._process, graceful_timeout_s=settings.graceful_timeout_s)
        self.consuming = ConsumerLifecycle(broker, after=self._consumes_after)
        return EventConsumer(
            broker,
            self.publisher,
            service=self._service,
            service_version=self._version,
            drills=settings.drills,
            signer=message_signer(settings),
            dependencies=self._depends_on,
        )

    @property
    def senders(self) -> list["Publisher | Relay"]:
        """What publishes, to be started first."""
        return [self.publisher] if self.relay is None else [self.publisher, self.relay]

    @property
    def receivers(self) -> list["ConsumerLifecycle"]:
        """What consumes, to be started last; empty if nothing subscribed."""
        return [] if self.consuming is None else [self.consuming]

    async def connected(self) -> bool:
        """Whether the connection that consumes answers."""
        try:
            return self.consuming is not None and await self.consuming.broker.ping(timeout=1.0)
        except Exception:  # not connected yet, in whichever way
            return False

    def checks(self, *, required: bool) -> list[Check]:
        """Return what readiness looks at.

        Args:
            required: whether the service is not ready without the broker.
        """
        checks = [
            Check("publisher", self._publisher_is_connected, required=required),
            # Only told: an alarm of the broker holds back every service alike.
            Check("publishing", self.publisher.can_publish, required=False),
        ]
        if self.consuming is not None:
            checks += [
                Check("consumer", self.consuming.healthy, required=required),
                Check("settling messages", self.consuming.settles),
                # Only told: the server that is waited for has a check of its own where readiness needs it.
                Check("taking messages", self.consuming.taking, required=False),
            ]
        return checks

    async def _publisher_is_connected(self) -> bool:
        return self.publisher.connected


def _relay(database: "Database", publisher: Publisher) -> "Relay":
    from laundry_events import Relay  # noqa: PLC0415 - who has no database has no driver either

    return Relay(database.url, publisher)
