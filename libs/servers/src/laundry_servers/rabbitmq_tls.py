"""What makes RabbitMQ nodes speak TLS only: to clients, to browsers, and to each other."""

from collections.abc import Sequence
from pathlib import Path

from laundry_events import broker_settings
from laundry_servers import isolate, rabbitmqctl
from laundry_servers.addresses import TlsFiles
from laundry_servers.authority import Authority
from laundry_servers.errors import LaundryError

# Replicas of streams call each other by the name of the machine, which is the first in there.
HOSTS = (isolate.HOST, "127.0.0.1")
# Erlang caches the files of its distribution separately, and its public call does not clear that cache.
FORGET_FILES = (
    "[{rpc:call(Node, ssl, clear_pem_cache, []), rpc:call(Node, gen_server, call, "
    "[ssl_pem_cache:name(dist), {unconditionally_clear_pem_cache, self()}, 5000])} "
    "|| Node <- rabbit_nodes:list_running()]."
)


class NodeTls:
    """Certificates and settings of the nodes in ``folder``, by their authority."""

    def __init__(self, authority: Authority, root: Path, folder: Path) -> None:
        self.authority = authority
        self._root = root
        self._folder = folder

    @property
    def files(self) -> TlsFiles:
        """What clients need of the authority's folder."""
        return TlsFiles(self.authority.folder, self.authority.ca_file)

    def issue(self, nodes: Sequence[str], clients: Sequence[str]) -> None:
        """Issue what is missing or grows old: for each node and each client."""
        for node in nodes:
            own = self.authority.ensure(node, HOSTS)
            self._options_file(node).write_text(_distribution(str(self.authority.ca_file), str(own)))
        for client in clients:
            self.authority.ensure(client)
        self.advanced_file.write_text("[{rabbitmq_prometheus, [{tcp_config, []}]}].\n")

    def config(self, node: str, *, amqp: int, mqtt: int, management: int, prometheus: int) -> list[str]:
        """Return the lines of ``rabbitmq.conf`` for a node's listeners."""
        own = str(self.authority.path_of(node))
        return [
            f"listeners.ssl.1 = 127.0.0.1:{amqp}",
            f"mqtt.listeners.ssl.1 = 127.0.0.1:{mqtt}",
            "management.ssl.ip = 127.0.0.1",
            f"management.ssl.port = {management}",
            "prometheus.ssl.ip = 127.0.0.1",
            f"prometheus.ssl.port = {prometheus}",
            *broker_settings.lines(*broker_settings.tls(str(self.authority.ca_file), own, own)),
        ]

    @property
    def advanced_file(self) -> Path:
        """Settings that ``rabbitmq.conf`` cannot express: metrics have a plain listener by default."""
        return self._folder / "advanced.config"

    def erlang_arguments(self, node: str) -> str:
        """Return what makes a node, and ``rabbitmqctl``, speak TLS with the other nodes."""
        return " ".join(
            [
                # This is read before other applications are on the code path.
                f"-pa {_erlang_ssl(self._root)}",
                "-proto_dist inet_tls",
                f"-ssl_dist_optfile {self._options_file(node)}",
            ]
        )

    def _options_file(self, node: str) -> Path:
        return self._folder / f"{node}-distribution.config"


def reload_certificates(root: Path, folder: Path, authority: Authority, *, node: int, epmd_port: int) -> None:
    """Have all running nodes of a cluster reload their certificates; open connections stay.

    Args:
        node: the number of a running one.

    Raises:
        LaundryError: it could not be asked.
    """
    tls = NodeTls(authority, root, folder)
    rabbitmqctl.evaluate(root, folder, FORGET_FILES, node=node, epmd_port=epmd_port, tls=tls)


def _erlang_ssl(root: Path) -> str:
    for folder in sorted((root / "usr/lib/erlang/lib").glob("ssl-*/ebin")):
        return "/" + str(folder.relative_to(root))
    raise LaundryError(f"The Erlang in {root} has no TLS. Remove that folder and try again.")


def _distribution(ca_file: str, own: str) -> str:
    files = f'{{cacertfile, "{ca_file}"}}, {{certfile, "{own}"}}, {{keyfile, "{own}"}}'
    server = f"{{server, [{files}, {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}}]}}"
    return f"[{server},\n {{client, [{files}, {{verify, verify_peer}}]}}].\n"
