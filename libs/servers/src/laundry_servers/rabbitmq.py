"""RabbitMQ 4.3 as native processes: one node, or a cluster behind HAProxy."""

import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from laundry_events import broker_settings
from laundry_servers import haproxy, isolate
from laundry_servers.addresses import BrokerAddress
from laundry_servers.authority import Authority
from laundry_servers.ports import free_port, free_ports, is_open
from laundry_servers.process import Process, base_environment, start_all, stop_all
from laundry_servers.rabbitmq_tls import NodeTls

PLUGINS = (
    "rabbitmq_management",
    "rabbitmq_mqtt",
    "rabbitmq_prometheus",
    "rabbitmq_auth_backend_http",
)
START_SECONDS = 90.0
STARTED_LINE = b"Server startup complete"
ERLANG_ARGUMENTS = f"-kernel inet_dist_use_interface {{127,0,0,1}} {broker_settings.NO_BUSY_WAITING}"


class RabbitMQ:
    """Brokers in ``folder``: data, logs and configuration live there and survive a restart."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        *,
        nodes: int = 1,
        username: str = "laundry-admin",
        password: str | None = None,
        statistics_milliseconds: int = 5000,
        extra_config: str = "",
        authority: Authority | None = None,
        clients: Sequence[str] = (),
    ) -> None:
        """Prepare the nodes.

        Args:
            authority: with one, nothing is spoken but TLS, with certificates that it issues.
            clients: the logins that get a certificate of it, besides the administrator's.
        """
        self.root = root
        self.folder = folder
        self.username = username
        self.password = password or secrets.token_urlsafe(24)
        self.statistics_milliseconds = statistics_milliseconds
        self.extra_config = extra_config
        self.node_names = [f"rmq{number}@localhost" for number in range(1, nodes + 1)]
        self.epmd_port = free_port()
        self.amqp_ports = free_ports(nodes)
        self.dist_ports = free_ports(nodes)
        self.management_ports = free_ports(nodes)
        self.mqtt_ports = free_ports(nodes)
        self.prometheus_ports = free_ports(nodes)
        self.tls = NodeTls(authority, root, folder) if authority is not None else None
        self.clients = (username, *clients)
        self._prepare()
        self.processes = [self._epmd(), *(self._node(index) for index in range(nodes))]
        self.proxy: haproxy.Proxy | None = None
        if nodes > 1:
            ports = zip(self.amqp_ports, self.mqtt_ports, self.management_ports, strict=True)
            behind = [haproxy.Node("127.0.0.1", *each) for each in ports]
            self.proxy = haproxy.Proxy(root, folder, behind, tls=self.tls is not None)
            self.processes.append(self.proxy.process)

    @property
    def address(self) -> BrokerAddress:
        """Where it is reached, as the administrator."""
        front = self.proxy.front.amqp if self.proxy else self.amqp_ports[0]
        mqtt = self.proxy.front.mqtt if self.proxy else self.mqtt_ports[0]
        login = f"{self.username}:{self.password}"
        files = self.tls.files if self.tls else None
        s, query = ("s", "?" + files.amqp_query(self.username)) if files else ("", "")
        return BrokerAddress(
            amqp_url=f"amqp{s}://{login}@127.0.0.1:{front}/%2F{query}",
            amqp_urls=[f"amqp{s}://{login}@127.0.0.1:{port}/%2F{query}" for port in self.amqp_ports],
            management_urls=[self._management_url(index) for index in range(len(self.node_names))],
            mqtt_url=f"mqtt{s}://127.0.0.1:{mqtt}",
            username=self.username,
            password=self.password,
            prometheus_urls=[f"http{s}://127.0.0.1:{port}/metrics" for port in self.prometheus_ports],
            tls=files,
        )

    def _management_url(self, index: int) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.management_ports[index]}"

    def start(self, seconds: float = START_SECONDS) -> BrokerAddress:
        """Start every node and wait until the cluster is whole."""
        start_all(self.processes, seconds)
        return self.address

    def prepare(self) -> None:
        """Nothing more to prepare: the root file system and the configuration are there."""

    def stop(self) -> None:
        """Stop every node; the name daemon last, the nodes need it to leave."""
        stop_all(self.processes[1:])
        stop_all(self.processes[:1])

    @property
    def made_file(self) -> Path:
        """Exists once the cluster has been complete for the first time."""
        return self.folder / "made"

    def _prepare(self) -> None:
        # An interrupted first start may leave an administrator without rights, which no later start
        # repairs. Such a broker was never ready, so it holds no data.
        if not self.made_file.exists():
            shutil.rmtree(self.folder / "data", ignore_errors=True)
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        cookie = home / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(0o600)
            cookie.write_text(secrets.token_hex(20))
        cookie.chmod(0o400)
        (self.folder / "enabled_plugins").write_text(f"[{','.join(PLUGINS)}].\n")
        if self.tls:
            self.tls.issue([f"rabbitmq-{number + 1}" for number in range(len(self.node_names))], self.clients)
        for index in range(len(self.node_names)):
            config = self._config_file(index)
            config.touch(0o600)
            config.write_text(self._config(index))

    def _config_file(self, index: int) -> Path:
        return self.folder / f"rabbitmq-{index + 1}.conf"

    def _config(self, index: int) -> str:
        lines = [
            *self._listeners(index),
            # The first user of a new database; with it no user "guest" is ever made.
            f"default_user = {self.username}",
            f"default_pass = {self.password}",
            "default_user_tags.administrator = true",
            f"collect_statistics_interval = {self.statistics_milliseconds}",
            "disk_free_limit.absolute = 200MB",
            "log.file.level = info",
            *broker_settings.lines(*broker_settings.EVERY_BROKER, *broker_settings.cluster(self.node_names)),
        ]
        return "\n".join([*lines, self.extra_config, ""])

    def _listeners(self, index: int) -> list[str]:
        if self.tls:
            return self.tls.config(
                f"rabbitmq-{index + 1}",
                amqp=self.amqp_ports[index],
                mqtt=self.mqtt_ports[index],
                management=self.management_ports[index],
                prometheus=self.prometheus_ports[index],
            )
        return [
            f"listeners.tcp.1 = 127.0.0.1:{self.amqp_ports[index]}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.management_ports[index]}",
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.mqtt_ports[index]}",
            "prometheus.tcp.ip = 127.0.0.1",
            f"prometheus.tcp.port = {self.prometheus_ports[index]}",
        ]

    def _environment(self, index: int) -> dict[str, str]:
        between = self.tls.erlang_arguments(f"rabbitmq-{index + 1}") if self.tls else ""
        encrypted = {}
        if self.tls:
            encrypted = {
                "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.tls.advanced_file),
                "RABBITMQ_CTL_ERL_ARGS": between,
            }
        return {
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script then execs: SIGTERM reaches the server itself
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "LAUNDRY_STACK": os.environ.get("LAUNDRY_STACK", ""),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node_names[index],
            "RABBITMQ_DIST_PORT": str(self.dist_ports[index]),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._config_file(index)),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / f"generated-{index + 1}"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{ERLANG_ARGUMENTS} {between}".strip(),
            **encrypted,
        }

    def _inside(self, arguments: list[str], environment: dict[str, str]) -> list[str]:
        folders = [self.folder, *([self.tls.authority.folder] if self.tls else [])]
        return isolate.command(self.root, arguments, environment=environment, folders=folders)

    def _epmd(self) -> Process:
        # In the foreground and ours: a node that finds none would leave a daemon behind.
        arguments = ["/usr/bin/epmd", "-address", "127.0.0.1", "-port", str(self.epmd_port)]
        return Process(
            name="epmd",
            command=self._inside(arguments, {"PATH": "/usr/bin:/bin", "HOME": str(self.folder / "home")}),
            environment=base_environment(),
            log_file=self.folder / "log" / "epmd.log",
            ready=lambda: is_open(self.epmd_port),
            payload="epmd",
            port=self.epmd_port,
            stop_seconds=2,
        )

    def _node(self, index: int) -> Process:
        log_file = self.folder / "log" / f"rabbitmq-{index + 1}.out"
        server_log = self.folder / "log" / f"{self.node_names[index]}.log"
        ready = _NodeReady(self, index, server_log)
        return Process(
            name=f"rabbitmq-{index + 1}",
            command=self._inside(["/usr/lib/rabbitmq/bin/rabbitmq-server"], self._environment(index)),
            environment=base_environment(),
            log_file=log_file,
            ready=ready,
            before_start=ready.skip_older_lines,
            payload="beam.smp",
            stop_seconds=20,
            port=self.amqp_ports[index],
        )

    def cluster_is_whole(self, index: int) -> bool:
        """Whether the node at ``index`` answers and sees every node running."""
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(
                f"{self._management_url(index)}/api/nodes",
                auth=(self.username, self.password),
                timeout=5,
                verify=self.tls.files.context() if self.tls else False,
            )
            if answer.status_code == 200:
                return sum(bool(node.get("running")) for node in answer.json()) >= len(self.node_names)
        return False


class _NodeReady:
    """A node is ready when its log says so and its management API sees the whole cluster.

    The log is read from where it ended before, so a restart is not taken for ready by an older line.
    """

    def __init__(self, server: RabbitMQ, index: int, log: Path) -> None:
        self.server, self.index, self.log = server, index, log
        self.offset = 0

    def skip_older_lines(self) -> None:
        """Count only what is logged from now on."""
        self.offset = self.log.stat().st_size if self.log.exists() else 0

    def __call__(self) -> bool:
        if not self.log.exists():
            return False
        with self.log.open("rb") as file:
            file.seek(self.offset)
            started = STARTED_LINE in file.read()
        ready = (
            started
            and is_open(self.server.amqp_ports[self.index])
            and self.server.cluster_is_whole(self.index)
        )
        if ready:
            self.server.made_file.touch()
        return ready
