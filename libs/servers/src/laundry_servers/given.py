"""Servers that somebody else runs; their addresses come from the environment."""

import os
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

from laundry_servers.addresses import BrokerAddress, DatabaseAddress, ObjectStoreAddress
from laundry_servers.errors import LaundryError
from laundry_servers.process import Process
from laundry_servers.s3 import s3_client

VARIABLES = (
    "LAUNDRY_AMQP_URL",
    "LAUNDRY_MANAGEMENT_URL",
    "LAUNDRY_POSTGRES_URL",
    "LAUNDRY_S3_ENDPOINT_URL",
    "LAUNDRY_S3_ACCESS_KEY",
    "LAUNDRY_S3_SECRET_KEY",
)
AMQP_EXAMPLE = "amqp://user:password@host:5672/laundry"
MANAGEMENT_EXAMPLE = "http://user:password@host:15672"
SEPARATOR = re.compile(r",(?=\s*(?:[a-z]+://|$))")


def missing(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables that are not set."""
    return [name for name in VARIABLES if not environment.get(name)]


def _value(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise LaundryError(f"--servers given needs {name} in the environment (and {', '.join(VARIABLES)}).")
    return value


def several(text: str) -> list[str]:
    """Return the addresses that commas separate, in each variable and option that names a broker.

    A comma before anything but an address is part of a password.
    """
    return [each for part in SEPARATOR.split(text) if (each := part.strip(" ,"))]


def usable(urls: Sequence[str], example: str) -> list[str]:
    """Return addresses that can be connected to.

    Args:
        example: one as it should be; its scheme may have an ``s`` more.

    Raises:
        LaundryError: there is none, or one is no such address. It is not repeated, as it may hold a password.
    """
    scheme = urlsplit(example).scheme
    if not urls or not all(_is_usable(url, scheme) for url in urls):
        raise LaundryError(
            f"A broker's address looks like {example}, and commas separate those of several nodes. "
            "What a password has of :/?#@, is written with a percent sign: %2F for a slash."
        )
    return list(urls)


def _is_usable(url: str, scheme: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        return False
    return parts.scheme in (scheme, f"{scheme}s") and bool(host) and b"," not in host and port != 0


def without_login(url: str) -> str:
    """Return the address of a management API alone, as it is shown and kept."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


class _Given:
    """Nothing is started or stopped."""

    def __init__(self) -> None:
        self.processes: list[Process] = []

    def prepare(self) -> None:
        """Do nothing: whoever gave the address has prepared it."""

    def stop(self) -> None:
        """Leave it running: it is not ours."""


class GivenRabbitMQ(_Given):
    """A broker; LAUNDRY_AMQP_URL names an administrator, several URLs are separated by commas.

    The administrator logs in to the management API, too, whether or not its address has a login.
    """

    @property
    def address(self) -> BrokerAddress:
        """Where it is reached. Raises LaundryError."""
        urls = usable(several(_value("LAUNDRY_AMQP_URL")), AMQP_EXAMPLE)
        management = usable(several(_value("LAUNDRY_MANAGEMENT_URL")), MANAGEMENT_EXAMPLE)
        parts = urlsplit(urls[0])
        return BrokerAddress(
            amqp_url=urls[0],
            amqp_urls=urls,
            management_urls=[without_login(url) for url in management],
            mqtt_url=os.environ.get("LAUNDRY_MQTT_URL", f"mqtt://{parts.hostname}:1883"),
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    def start(self, seconds: float = 0) -> BrokerAddress:
        """Return the address at once: the server runs already."""
        del seconds
        return self.address


class GivenPostgres(_Given):
    """A database server; LAUNDRY_POSTGRES_URL names a superuser."""

    @property
    def address(self) -> DatabaseAddress:
        """Where it is reached."""
        parts = urlsplit(_value("LAUNDRY_POSTGRES_URL"))
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return DatabaseAddress(parts.hostname or "127.0.0.1", parts.port or 5432, user, password)

    def start(self, seconds: float = 0) -> DatabaseAddress:
        """Return the address at once: the server runs already."""
        del seconds
        return self.address


class GivenObjectStore(_Given):
    """An S3 service whose address and keys are in the environment."""

    @property
    def address(self) -> ObjectStoreAddress:
        """Where it is reached."""
        return ObjectStoreAddress(
            _value("LAUNDRY_S3_ENDPOINT_URL").rstrip("/"),
            _value("LAUNDRY_S3_ACCESS_KEY"),
            _value("LAUNDRY_S3_SECRET_KEY"),
        )

    def start(self, seconds: float = 0) -> ObjectStoreAddress:
        """Return the address at once: the server runs already."""
        del seconds
        return self.address

    def make_bucket(self, name: str) -> None:
        """Make a bucket if it is not there."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - slow to import, needed here only

        address = self.address
        client = s3_client(address.endpoint_url, address.access_key, address.secret_key)
        try:
            client.head_bucket(Bucket=name)
        except ClientError:
            client.create_bucket(Bucket=name)
