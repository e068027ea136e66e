"""A service's connections to the broker, built in one call."""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from laundry_events import Publisher
from laundry_events.topology import PLAN
from laundry_service.http.health import Check
from laundry_service.settings import ServiceSettings
from laundry_service.telemetry.certificates import watch_own

if TYPE_CHECKING:
    from laundry_events import Dependency, EventConsumer, Relay, Requester
    from laundry_service.messaging.lifecycle import ConsumerLifecycle
    from laundry_service.storage.database import Database


class Messaging:
    """How a service publishes, relays its outbox and consumes.

    FastStream is loaded when ``consumer`` is first used; a service that never does consumes nothing.
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
        """Prepare the connections; nothing connects yet.

        Args:
            service: the source of its events; ``version`` is recorded on dead letters.
            process: the name of the connection that consumes, where a service has several processes.
            relays_outbox_of: the database whose outbox is published from here. Every message needs it, too.
            depends_on: further servers that every message needs; while one is down, messages are held.
            consumes_after: returns once this process can handle messages; it takes none before that.
        """
        self._settings = settings
        self._service = service
        self._version = version
        self._process = process or service
        self._database = relays_outbox_of
        self._depends_on = depends_on
        self._consumes_after = consumes_after
        self._url = settings.amqp_url.get_secret_value()
        watch_own(self._url, client=service)
        self.publisher = Publisher(self._url, source=service)
        self.relay = None if relays_outbox_of is None else _relay(relays_outbox_of, self.publisher)
        self.requester: Requester | None = None
        self.consuming: ConsumerLifecycle | None = None

    @cached_property
    def consumer(self) -> "EventConsumer":
        """Where a service registers its subscribers; made, with its connection, at first use."""
        from laundry_events import EventConsumer, make_broker  # noqa: PLC0415 - 20 MB of FastStream
        from laundry_service.messaging.dependencies import database_dependency  # noqa: PLC0415
        from laundry_service.messaging.lifecycle import ConsumerLifecycle  # noqa: PLC0415
        from laundry_service.messaging.signing import message_signer  # noqa: PLC0415

        settings, needs = self._settings, list(self._depends_on)
        if self._database is not None:
            needs.append(database_dependency(self._database))
        broker = make_broker(self._url, service=self._process, graceful_timeout_s=settings.graceful_timeout_s)
        self.consuming = ConsumerLifecycle(broker, after=self._consumes_after)
        return EventConsumer(
            broker,
            self.publisher,
            PLAN,
            service=self._service,
            service_version=self._version,
            drills=settings.drills,
            signer=message_signer(settings),
            dependencies=needs,
        )

    def asks(self) -> "Requester":
        """Return what asks other services and waits for their answers."""
        from laundry_events import Requester  # noqa: PLC0415 - most services ask nobody

        self.requester = self.requester or Requester(self.publisher, service=self._service)
        return self.requester

    @property
    def senders(self) -> list["Publisher | Relay | Requester"]:
        """The components that publish; they start first and stop last."""
        return [each for each in (self.publisher, self.relay, self.requester) if each is not None]

    @property
    def receivers(self) -> list["ConsumerLifecycle"]:
        """The components that consume; they start last and stop first."""
        return [] if self.consuming is None else [self.consuming]

    async def connected(self) -> bool:
        """Whether the consumer's connection answers."""
        try:
            return self.consuming is not None and await self.consuming.broker.ping(timeout=1.0)
        except Exception:  # not connected yet, in whichever way
            return False

    def checks(self, *, required: bool) -> list[Check]:
        """Return the health checks of the connections.

        Args:
            required: whether readiness depends on the broker.
        """
        checks = [
            Check("publisher", self._publisher_is_connected, required=required),
            # Informational only: a broker alarm blocks every service alike.
            Check("publishing", self.publisher.can_publish, required=False),
        ]
        if self.consuming is not None:
            checks += [
                Check("consumer", self.consuming.healthy, required=required),
                Check("settling messages", self.consuming.settles),
                # Informational only: the dependency has its own check where readiness needs it.
                Check("taking messages", self.consuming.taking, required=False),
            ]
        return checks

    async def _publisher_is_connected(self) -> bool:
        return self.publisher.connected


def _relay(database: "Database", publisher: Publisher) -> "Relay":
    from laundry_events import Relay  # noqa: PLC0415 - a service without a database has no driver

    return Relay(database.url, publisher)
