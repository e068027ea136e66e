"""What a client needs to know of a running server."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

AMQP_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a client: ``ca_file`` says whom to trust, ``<folder>/NAME.pem`` who ``NAME`` is."""

    folder: Path
    ca_file: Path

    def certificate_of(self, name: str) -> Path:
        """Where the key and the certificate of ``name`` are."""
        return self.folder / f"{name}.pem"

    def amqp_query(self, name: str) -> str:
        """Return them as query parameters, which aiormq reads at each connection."""
        own = self.certificate_of(name)
        return urlencode({"cafile": self.ca_file, "certfile": own, "keyfile": own}, safe="/")

    def context(self, name: str | None = None) -> ssl.SSLContext:
        """Return a TLS context that trusts them; with a ``name``, it shows that client's certificate."""
        found = ssl.create_default_context(cafile=self.ca_file)
        if name is not None:
            found.load_cert_chain(self.certificate_of(name))
        return found


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A RabbitMQ node or cluster, with an administrator's credentials.

    ``amqp_url`` is for clients (a proxy when there are several nodes), ``amqp_urls`` names each node.
    With ``tls`` it takes nobody who does not show a certificate, the administrator's being that of its name.
    """

    amqp_url: str = field(repr=False)
    amqp_urls: list[str] = field(repr=False)
    management_urls: list[str]
    mqtt_url: str
    username: str
    password: str = field(repr=False)
    prometheus_urls: list[str] = field(default_factory=list)
    tls: TlsFiles | None = None

    @property
    def management_url(self) -> str:
        """Address of one management API, without credentials."""
        return self.management_urls[0]

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """The TLS context with which HTTP clients check the management API."""
        if self.tls:
            return self.tls.context()
        # Whom this machine trusts takes long to read, and is not asked over plain HTTP.
        return self.management_url.startswith("https:")

    def amqp_url_for(self, username: str, password: str, vhost: str = "/") -> str:
        """Return the client address for another user or virtual host."""
        query = self.tls.amqp_query(username) if self.tls is not None else None
        return amqp_url(self.amqp_url, username=username, password=password, vhost=vhost, query=query)


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


def amqp_url(template: str, *, username: str, password: str, vhost: str, query: str | None = None) -> str:
    """Return ``template`` with other credentials and virtual host, and with another query if one is given."""
    parts = urlsplit(template)
    host = f"{parts.hostname}:{parts.port or AMQP_PORTS[parts.scheme]}"
    login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    path = "/" + quote(vhost, safe="")
    return urlunsplit((parts.scheme, f"{login}@{host}", path, parts.query if query is None else query, ""))
