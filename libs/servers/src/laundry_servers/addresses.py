"""What a client needs to know of a running server."""

from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A RabbitMQ node or cluster, with an administrator's credentials.

    ``amqp_url`` is for clients (a proxy when there are several nodes), ``amqp_urls`` names each node.
    """

    amqp_url: str = field(repr=False)
    amqp_urls: list[str] = field(repr=False)
    management_urls: list[str]
    mqtt_url: str
    username: str
    password: str = field(repr=False)
    prometheus_urls: list[str] = field(default_factory=list)

    @property
    def management_url(self) -> str:
        """Address of one management API, without credentials."""
        return self.management_urls[0]

    def amqp_url_for(self, username: str, password: str, vhost: str = "/") -> str:
        """Return the client address for another user or virtual host."""
        return amqp_url(self.amqp_url, username=username, password=password, vhost=vhost)


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """A PostgreSQL server, with a superuser's credentials."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)

    def url(
        self, database: str = "postgres", username: str | None = None, password: str | None = None
    ) -> str:
        """Return a libpq URL (``postgresql://``)."""
        user = quote(username or self.username, safe="")
        secret = quote(password or self.password, safe="")
        return f"postgresql://{user}:{secret}@{self.host}:{self.port}/{quote(database, safe='')}"


@dataclass(frozen=True, slots=True)
class ObjectStoreAddress:
    """An S3 service with the keys of an administrator."""

    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PushAddress:
    """The FCM service; the local one also serves the stack's JWKS."""

    url: str


def amqp_url(template: str, *, username: str, password: str, vhost: str) -> str:
    """Return ``template`` with other credentials and virtual host."""
    parts = urlsplit(template)
    host = f"{parts.hostname}:{parts.port or 5672}"
    login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    return urlunsplit((parts.scheme, f"{login}@{host}", "/" + quote(vhost, safe=""), "", ""))
