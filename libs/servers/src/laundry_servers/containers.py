"""The servers as containers, through testcontainers."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from laundry_events import broker_settings
from laundry_servers.addresses import BrokerAddress, DatabaseAddress, ObjectStoreAddress
from laundry_servers.errors import LaundryError
from laundry_servers.local_http import local_http
from laundry_servers.ports import is_open
from laundry_servers.process import Process
from laundry_servers.rabbitmq import PLUGINS

RABBITMQ_IMAGE = "rabbitmq:4.3-management"
POSTGRES_IMAGE = "postgres:18"
S3_IMAGE = "rclone/rclone:1"
START_SECONDS = 180.0


def engine_answers() -> bool:
    """Whether a Docker engine answers; a docker client on PATH proves nothing."""
    import docker  # noqa: PLC0415 - slow to import, and not needed where servers are native
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        client = docker.from_env(timeout=5)
        try:
            client.ping()
        finally:
            client.close()
    except DockerException:
        return False
    return True


class _Container:
    """One container with its ready-wait; it is removed when stopped."""

    def __init__(self, image: str, ports: tuple[int, ...]) -> None:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow to import

        self.image = image
        self.processes: list[Process] = []
        self.container: Any = DockerContainer(image).with_exposed_ports(*ports)

    def host(self) -> str:
        return str(self.container.get_container_host_ip())

    def port(self, inside: int) -> int:
        return int(self.container.get_exposed_port(inside))

    def run(self, ready: Callable[[], bool], seconds: float) -> None:
        self.container.start()
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                logs = self.container.get_logs()[0].decode(errors="replace")[-2000:]
                self.container.stop()
                raise LaundryError(f"The container {self.image} was not ready in {seconds:.0f} s:\n{logs}")
            time.sleep(0.2)

    def prepare(self) -> None:
        """Do nothing: the image has everything."""

    def stop(self) -> None:
        """Stop and remove the container."""
        self.container.stop()


class RabbitMQContainer(_Container):
    """One RabbitMQ node with the plugins that the laundry uses."""

    def __init__(self, *, password: str | None = None, extra_config: str = "") -> None:
        super().__init__(RABBITMQ_IMAGE, (5672, 15672, 15692, 1883))
        self.username, self.password = "laundry-admin", password or secrets.token_urlsafe(24)
        config = "\n".join(
            [
                f"default_user = {self.username}",
                f"default_pass = {self.password}",
                *broker_settings.lines(*broker_settings.EVERY_BROKER),
                extra_config,
                "",
            ]
        )
        plugins = f"[{','.join(PLUGINS)}].\n"
        self.container.with_copy_into_container(config.encode(), "/etc/rabbitmq/conf.d/90-laundry.conf")
        self.container.with_copy_into_container(plugins.encode(), "/etc/rabbitmq/enabled_plugins")

    @property
    def address(self) -> BrokerAddress:
        """Where it is reached, as the administrator."""
        host = self.host()
        url = f"amqp://{self.username}:{self.password}@{host}:{self.port(5672)}/%2F"
        return BrokerAddress(
            amqp_url=url,
            amqp_urls=[url],
            management_urls=[f"http://{host}:{self.port(15672)}"],
            mqtt_url=f"mqtt://{host}:{self.port(1883)}",
            username=self.username,
            password=self.password,
            prometheus_urls=[f"http://{host}:{self.port(15692)}/metrics"],
        )

    def start(self, seconds: float = START_SECONDS) -> BrokerAddress:
        """Start and wait until the management API answers."""
        self.run(self._answers, seconds)
        return self.address

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            login = (self.username, self.password)
            url = f"{self.address.management_url}/api/health/checks/virtual-hosts"
            return local_http().get(url, auth=login).status_code == 200
        return False


class PostgresContainer(_Container):
    """One PostgreSQL server, its data gone with the container."""

    def __init__(self, *, password: str | None = None) -> None:
        super().__init__(POSTGRES_IMAGE, (5432,))
        self.username, self.password = "laundry_admin", password or secrets.token_urlsafe(24)
        self.container.with_envs(POSTGRES_USER=self.username, POSTGRES_PASSWORD=self.password)

    @property
    def address(self) -> DatabaseAddress:
        """Where it is reached, as the superuser."""
        return DatabaseAddress(self.host(), self.port(5432), self.username, self.password)

    def start(self, seconds: float = START_SECONDS) -> DatabaseAddress:
        """Start and wait until it answers."""
        self.run(self._answers, seconds)
        return self.address

    def _answers(self) -> bool:
        # Over TCP: the image's first, temporary server listens on its socket only.
        done = self.container.exec(["pg_isready", "-q", "-h", "127.0.0.1", "-U", self.username])
        return bool(done.exit_code == 0)


class ObjectStoreContainer(_Container):
    """One S3 service, its objects gone with the container."""

    def __init__(self, *, access_key: str | None = None, secret_key: str | None = None) -> None:
        super().__init__(S3_IMAGE, (8080,))
        self.access_key = access_key or secrets.token_hex(10).upper()
        self.secret_key = secret_key or secrets.token_hex(20)
        self.container.with_env("RCLONE_AUTH_KEY", f'"{self.access_key},{self.secret_key}"')
        self.container.with_command(["serve", "s3", "--addr", ":8080", "--dir-cache-time", "1s", "/data"])

    @property
    def address(self) -> ObjectStoreAddress:
        """Where it is reached."""
        return ObjectStoreAddress(f"http://{self.host()}:{self.port(8080)}", self.access_key, self.secret_key)

    def start(self, seconds: float = START_SECONDS) -> ObjectStoreAddress:
        """Start and wait until it accepts connections."""
        self.run(lambda: is_open(self.port(8080), self.host()), seconds)
        return self.address

    def make_bucket(self, name: str) -> None:
        """Make a bucket if it is not there."""
        self.container.exec(["mkdir", "-p", f"/data/{name}"])
