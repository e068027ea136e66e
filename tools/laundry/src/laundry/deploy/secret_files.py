"""The secrets of Compose's containers, a file each: which there are, who gets which, and what is in them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from laundry_catalogue import SERVICES, Need, Service, audited, database_owners, variable
from laundry_events.topology import VHOST
from laundry_servers.postgres import owner_of

Values = Mapping[str, str]
"""What ``var/compose.env`` says."""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file of ``var/compose/secrets``; a container finds it in ``/run/secrets`` by the name ``target``."""

    name: str
    target: str
    text: Callable[[Values], str]


def of_service(service: Service) -> Iterator[SecretFile]:
    """Yield what the processes of a service get: its own logins and keys, and nobody else's."""
    if Need.BROKER in service.needs:
        yield _amqp_url(service.name)
    if Need.CONSUMES in service.needs:
        yield _of(service.name, "letter-key", variable("LETTER_KEY_{}", service.name))
    if Need.DATABASE in service.needs:
        yield _database_url(service.name)
    if Need.OBJECTS in service.needs:
        yield from OBJECTS
    if Need.PROVIDER in service.needs or Need.SESSIONS in service.needs:
        yield _shared("oidc-client-secret", "OIDC_CLIENT_SECRET")
    if Need.PROVIDER in service.needs:
        yield _of(service.name, "secret-keys", "IDENTITY_SECRET_KEYS")
        yield _of(service.name, "signing-keys", "IDENTITY_SIGNING_KEYS")
        yield _of(service.name, "first-operator-password", "FIRST_OPERATOR_PASSWORD")
        yield _of(service.name, "smtp-url", "SMTP_URL")
    if Need.SESSIONS in service.needs:
        yield _of(service.name, "session-keys", "SESSION_KEYS")
    if Need.SIGNING in service.needs:
        yield _shared("model-signing-key", "MODEL_SIGNING_KEY")
    if Need.MQTT in service.needs:
        yield _shared("mqtt-auth-secret", "MQTT_AUTH_SECRET")
    if Need.PUSH in service.needs:
        yield _shared("web-push-private-key", "WEB_PUSH_PRIVATE_KEY")


def of_migration(service: Service) -> Iterator[SecretFile]:
    """Yield what a service's migration gets: its database, and as the owner of audited tables."""
    yield _database_url(service.name)
    if Need.AUDIT in service.needs:
        password = variable("DATABASE_OWNER_PASSWORD_{}", service.name)
        yield SecretFile(
            f"{service.name}-database-owner-url",
            "LAUNDRY_DATABASE_OWNER_URL",
            lambda values: _postgres(owner_of(service.name), values[password], service.name),
        )


def of_prepare(services: Iterable[Service] = SERVICES) -> Iterator[SecretFile]:
    """Yield what makes databases and the bucket gets: it alone holds the administrator's password."""
    services = tuple(services)
    yield SecretFile(
        "database-admin-url",
        "LAUNDRY_DATABASE_ADMIN_URL",
        lambda values: (
            f"postgresql://laundry_admin:{values['DATABASE_ADMIN_PASSWORD']}@postgres:5432/postgres"
        ),
    )
    for kind, names in (("PASSWORD", database_owners(services)), ("OWNER_PASSWORD", audited(services))):
        yield _passwords(kind, tuple(names))
    yield from OBJECTS


def every(services: Iterable[Service] = SERVICES) -> dict[str, SecretFile]:
    """Return all of them, each once, by name."""
    services = tuple(services)
    found = [*SERVERS, *of_prepare(services)]
    for service in services:
        if Need.DATABASE in service.needs:
            found += of_migration(service)
        found += of_service(service)
    return {each.name: each for each in found}


def _shared(name: str, source: str) -> SecretFile:
    return SecretFile(name, f"LAUNDRY_{source}", lambda values: values[source])


def _of(service: str, name: str, source: str) -> SecretFile:
    setting = f"LAUNDRY_{name.upper().replace('-', '_')}"
    return SecretFile(f"{service}-{name}", setting, lambda values: values.get(source, ""))


def _amqp_url(service: str) -> SecretFile:
    password = variable("BROKER_PASSWORD_{}", service)
    return SecretFile(
        f"{service}-amqp-url",
        "LAUNDRY_AMQP_URL",
        lambda values: f"amqp://{service}:{values[password]}@{values['BROKER_HOST']}:5672/{VHOST}",
    )


def _database_url(service: str) -> SecretFile:
    password = variable("DATABASE_PASSWORD_{}", service)
    return SecretFile(
        f"{service}-database-url",
        "LAUNDRY_DATABASE_URL",
        lambda values: _postgres(service, values[password], service),
    )


def _postgres(login: str, password: str, database: str) -> str:
    return f"postgresql+asyncpg://{login}:{password}@postgres:5432/{database}"


def _passwords(kind: str, databases: tuple[str, ...]) -> SecretFile:
    sources = {name: variable(f"DATABASE_{kind}_{{}}", name) for name in databases}
    return SecretFile(
        f"database-{kind.lower().replace('_', '-')}s",
        f"LAUNDRY_DATABASE_{kind}S",
        lambda values: json.dumps({name: values[source] for name, source in sources.items()}),
    )


OBJECTS = (_shared("s3-access-key", "S3_ACCESS_KEY"), _shared("s3-secret-key", "S3_SECRET_KEY"))
SERVERS = (
    SecretFile("erlang-cookie", "", lambda values: values["ERLANG_COOKIE"]),
    SecretFile("database-admin-password", "", lambda values: values["DATABASE_ADMIN_PASSWORD"]),
    # In quotes, or rclone takes the halves for two pairs.
    SecretFile("s3-keys", "", lambda values: f'"{values["S3_ACCESS_KEY"]},{values["S3_SECRET_KEY"]}"'),
)
"""What RabbitMQ, PostgreSQL and the object store get; docker-compose.yml says how each takes it."""
