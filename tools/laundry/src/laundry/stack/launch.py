"""Starting the stack, one step after another: servers, databases and topology, migrations, services."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import httpx

from laundry.paths import PROJECT, StackPaths
from laundry.stack import changes, secrets, state
from laundry.stack.environment import (
    BUCKET,
    SignIn,
    Surroundings,
    service_environment,
    training_environment,
)
from laundry.stack.libraries import SHARED
from laundry.stack.preparation import Preparation, make_databases
from laundry.stack.secrets import Secrets
from laundry_catalogue import SERVICES, Need, Service, audited, broker_users, database_owners
from laundry_catalogue import Process as ServiceProcess
from laundry_events import broker_settings
from laundry_events.topology import TELEMETRY_EXCHANGE, VHOST
from laundry_servers import choice
from laundry_servers.authority import Authority
from laundry_servers.choice import Broker, Choice, Database, Kind, Objects
from laundry_servers.fcm import Fcm
from laundry_servers.forkserver import ForkServer, fork_server
from laundry_servers.identity import LocalIdentity
from laundry_servers.local_http import local_http
from laundry_servers.ports import free_port
from laundry_servers.postgres import owner_of
from laundry_servers.process import POLL_SECONDS, Process, base_environment
from laundry_servers.progress import Progress, step

SERVER_SECONDS = 120.0
SERVICE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Options:
    """What ``laundry up`` was asked for."""

    nodes: int = 1
    servers: Kind = Kind.AUTO
    fresh: bool = False
    training_data: Path | None = None
    tls: bool = False
    services: tuple[Service, ...] = SERVICES
    # A backup's folder: the databases have its content before they are migrated.
    restore: Path | None = None


@dataclass(slots=True)
class Launch:
    """A starting stack. Native processes appear in ``processes`` as they are started."""

    paths: StackPaths
    options: Options
    progress: Progress
    # Called after each process that was started.
    changed: Callable[[], None]
    processes: list[Process] = field(default_factory=list)
    started: list[Broker | Database | Objects] = field(default_factory=list)
    database_urls: dict[str, str] = field(default_factory=dict)
    owner_urls: dict[str, str] = field(default_factory=dict)
    service_urls: dict[str, str] = field(default_factory=dict)
    taken: Choice | None = None
    broker: Broker = field(init=False)
    database: Database = field(init=False)
    objects: Objects = field(init=False)
    fcm: Fcm = field(init=False)
    libraries: ForkServer = field(init=False)
    kept: Secrets = field(init=False)

    def run(self) -> None:
        """Bring everything up. Raises LaundryError; ``processes`` and ``started`` say what runs then."""
        if self.options.fresh:
            shutil.rmtree(self.paths.data, ignore_errors=True)
            shutil.rmtree(self.paths.tls, ignore_errors=True)
            self.paths.secrets_file.unlink(missing_ok=True)
        services = (*SERVICES, *self.options.services)
        users = dict.fromkeys([*broker_users(services), *database_owners(services)])
        self.kept = secrets.load(self.paths, list(users))
        self.taken = choice.choose(self.options.servers, nodes=self.options.nodes)
        self.progress.finished("Servers", str(self.taken))
        ports = {
            name: port
            for service in self.options.services
            for kind in service.processes
            for names in ([kind.instances] if kind.copies > 1 else [(name,) for name in kind.instances])
            for port in (free_port(),)
            for name in names
        }
        for service in self.options.services:
            if Need.PROVIDER in service.needs:
                # Its address is the issuer of its tokens, which had better be the same tomorrow.
                ports[service.name] = free_port(service.port)
        self.service_urls = {
            service.name: f"http://127.0.0.1:{ports[service.processes[0].instances[0]]}"
            for service in self.options.services
            if service.port is not None
        }
        self.libraries = fork_server(SHARED, base_environment(), self.paths.logs / "fork-server.log")
        self._make_servers(self.taken.kind)
        self._spawn([self.libraries])
        preparation = Preparation(self.paths.logs)
        self._start_servers()
        self._prepare(preparation)
        self._start_services(ports)

    def document(self) -> dict[str, object]:
        """Return the content of ``var/stack.json`` as of now."""
        urls = {
            service.url_key: self.service_urls[service.name]
            for service in self.options.services
            if service.port is not None
        }
        # Passwords may have been changed since the start.
        kept, address, objects = secrets.load(self.paths, []), self.database.address, self.objects.address
        if self.objects.processes:
            objects = replace(objects, access_key=kept.s3_access_key, secret_key=kept.s3_secret_key)
        return state.stack_document(
            urls={**urls, "fcm_url": self.fcm.address.url},
            broker=self.broker.address,
            objects=objects,
            database_urls={name: address.url(name, name, kept.database[name]) for name in self.database_urls},
            owner_urls={
                name: address.url(name, owner_of(name), kept.database_owner[name]) for name in self.owner_urls
            },
            pids={process.name: process.pid for process in self.processes if process.pid is not None},
            metrics_urls={each.name: each.metrics_url for each in self.processes if each.metrics_url},
        )

    def _make_servers(self, kind: Kind) -> None:
        data, kept = self.paths.data, self.kept
        self.broker = choice.broker(
            kind,
            self.paths.broker_data(self.options.nodes),
            self.progress,
            nodes=self.options.nodes,
            password=kept.broker_admin,
            # A broker in a container cannot ask a service on the loopback address: equipment then uses HTTP.
            extra_config=_broker_config(self.service_urls.get("monitoring") if kind is Kind.NATIVE else None),
            authority=Authority(self.paths.tls) if self.options.tls else None,
            clients=broker_users(SERVICES),
        )
        self.database = choice.database(kind, data / "postgres", password=kept.database_admin)
        self.objects = choice.object_store(
            kind, data / "s3", access_key=kept.s3_access_key, secret_key=kept.s3_secret_key
        )
        for process in self.objects.processes:
            process.changed_environment = partial(changes.of_process, self.paths, process.name)
        LocalIdentity(self.paths.identity)
        self.fcm = Fcm(self.paths.var, identity_folder=self.paths.identity, forked_by=self.libraries)

    def _start_servers(self) -> None:
        servers: list[tuple[str, Broker | Database | Objects]] = [
            # The slowest first: the others start meanwhile.
            ("RabbitMQ", self.broker),
            ("PostgreSQL", self.database),
            ("S3", self.objects),
        ]
        for _, server in servers:
            server.prepare()
            self._spawn(server.processes)
        self._spawn(self.fcm.processes)
        deadline = time.monotonic() + SERVER_SECONDS
        for name, server in servers:
            with step(self.progress, name):
                if not server.processes:
                    server.start()
                    self.started.append(server)
                for process in server.processes:
                    process.wait_ready(deadline)
        with step(self.progress, "FCM (local)"):
            self.fcm.process.wait_ready(deadline)

    def _prepare(self, preparation: Preparation) -> None:
        owners = database_owners(self.options.services)
        doing = "Databases, bucket, topology, migrations"
        if self.options.restore is not None:
            doing = f"Backup {self.options.restore.name}, topology, migrations"
        with step(self.progress, doing):
            passwords = {name: self.kept.database[name] for name in owners}
            owned = {name: self.kept.database_owner[name] for name in audited(self.options.services)}
            address = self.database.address
            self.database_urls = make_databases(address, passwords, owned)
            self.owner_urls = {
                name: address.url(name, owner_of(name), password) for name, password in owned.items()
            }
            self.objects.make_bucket(BUCKET)
            preparation.carry_out(
                self.broker.address,
                self.kept.broker,
                self.options.nodes,
                {
                    package: (self.owner_urls[name], name)
                    if name in owned
                    else (self.database_urls[name], None)
                    for name, package in owners.items()
                },
                restore=self._restoration(),
            )

    def _restoration(self) -> dict[str, str] | None:
        """What the preparing program needs to come back from a backup, beside the addresses."""
        if self.options.restore is None:
            return None
        self.paths.restored_file.unlink(missing_ok=True)
        return {
            "folder": str(self.options.restore),
            "document": json.dumps(self.document()),
            "result": str(self.paths.restored_file),
        }

    def _start_services(self, ports: dict[str, int]) -> None:
        around = Surroundings(
            broker=self.broker.address,
            broker_passwords=self.kept.broker,
            database_urls=self.database_urls,
            objects=self.objects.address,
            fcm_url=self.fcm.address.url,
            jwks_url=self.fcm.jwks_url,
            deny_list_url=self.fcm.deny_list_url,
            model_folder=PROJECT / "models",
            model_signing_key=self.kept.model_signing_key,
            letter_keys=self.kept.letters,
            web_push_key=self.kept.web_push_key,
            push_service_url=self.fcm.push_service_url,
            sign_in=SignIn(**self.kept.sign_in, mail_folder=self.paths.mail),
            telemetry_folder=self.paths.telemetry,
            service_urls=self.service_urls,
            training=training_environment(
                self.options.training_data,
                work=self.paths.var / "training-runs",
                python=PROJECT / ".venv-train" / "bin" / "python",
            ),
        )
        made = [
            service_process(service, kind, name=name, port=ports[name], around=around, logs=self.paths.logs)
            for service in self.options.services
            for kind in service.processes
            for name in kind.instances
        ]
        for process in made:
            process.changed_environment = partial(changes.of_process, self.paths, process.name)
            process.forked_by = self.libraries
        self._spawn(made)
        self._wait_for_services(made)

    def _wait_for_services(self, processes: Sequence[Process]) -> None:
        deadline, name = time.monotonic() + SERVICE_SECONDS, "Services"
        with step(self.progress, name):
            waiting = list(processes)
            while waiting:
                for process in list(waiting):
                    if process.is_ready():
                        waiting.remove(process)
                        self.progress.note(name, f"{process.name} is ready, {len(waiting)} to come")
                    elif not process.running or time.monotonic() > deadline:
                        process.wait_ready(deadline)
                time.sleep(POLL_SECONDS)

    def _spawn(self, processes: Sequence[Process]) -> None:
        for process in processes:
            process.spawn()
            self.processes.append(process)
            self.changed()


def service_process(
    service: Service, kind: ServiceProcess, *, name: str, port: int, around: Surroundings, logs: Path
) -> Process:
    """Return one service process that is not started yet; ready when its /readyz says so."""
    metrics_port = free_port()
    # At a port that others share, any of them may answer.
    url = f"http://127.0.0.1:{metrics_port if kind.copies > 1 else port}/readyz"
    return Process(
        name=name,
        command=[sys.executable, "-m", service.package, *kind.arguments],
        environment=service_environment(service, kind, name, port, around)
        | {"LAUNDRY_METRICS_PORT": str(metrics_port)},
        log_file=logs / f"{name}.log",
        ready=answers_ok(url),
        stop_seconds=20,
        niceness=kind.niceness,
        port=port,
        health_url=url,
        metrics_url=f"http://127.0.0.1:{metrics_port}/metrics",
    )


def answers_ok(url: str) -> Callable[[], bool]:
    """Return a check that an address answers 200."""

    def check() -> bool:
        try:
            return local_http().get(url).status_code == 200
        except httpx.HTTPError:
            return False

    return check


def _broker_config(monitoring_url: str | None) -> list[str]:
    settings = broker_settings.for_equipment(VHOST, TELEMETRY_EXCHANGE)
    if monitoring_url is not None:
        settings += broker_settings.equipment_login(f"{monitoring_url}/mqtt/auth")
    return list(broker_settings.lines(*settings))
