"""What docker-compose.yml and the Dockerfile say of each service, made from the catalogue."""

import textwrap
from collections.abc import Iterable, Iterator

from laundry.deploy import secret_files
from laundry.deploy.secret_files import SecretFile
from laundry.marks import replaced
from laundry.paths import PROJECT
from laundry.release import versions
from laundry.stack.environment import CLIENT_ID, FIRST_OPERATOR, PROVIDER
from laundry_catalogue import SERVICES, Need, Process, Resources, Service, url_variable

FILE = PROJECT / "docker-compose.yml"
DOCKERFILE = PROJECT / "deploy" / "docker" / "Dockerfile"
WIDTH = 120
USUAL = Resources()
# What `laundry compose-env` makes has no default: Compose then says what to do.
MISSING = ":?run make compose-env first"
# The node itself, or with the profile cluster what stands before the nodes.
BROKER = "${BROKER_HOST:-rabbitmq}"


def text(present: str, services: Iterable[Service] = SERVICES) -> str:
    """Return docker-compose.yml with the parts of these services."""
    services = tuple(services)
    of_prepare = _secrets(secret_files.of_prepare(services))
    present = replaced(present, "preparing", _lines(of_prepare, indent=4))
    present = replaced(present, "secrets", _lines(_files(services), indent=2))
    blocks = [*_migrations(services)]
    blocks += [_container(service, process) for service in services for process in service.processes]
    return replaced(present, "services", "\n\n".join(_lines(block, indent=2) for block in blocks))


def dockerfile_text(present: str, services: Iterable[Service] = SERVICES) -> str:
    """Return the Dockerfile; it gives the shipped model to those who read or judge with it."""
    holders = "|".join(service.name for service in services if Need.MODELS in service.needs)
    # Without the modes of the checkout: a person's umask may keep everybody else from its files.
    copied = "cp -r --no-preserve=mode /context/models /opt/models"
    part = f'RUN --mount=type=bind,target=/context \\\n    case "${{SERVICE}}" in {holders}) {copied} ;; esac'
    return replaced(present, "models", part)


def _lines(lines: Iterable[str], *, indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _secrets(files: Iterable[SecretFile]) -> Iterator[str]:
    """Write which files of ``/run/secrets`` a container gets."""
    files = tuple(files)
    if files:
        yield "secrets:"
    yield from (f"  - {{ source: {each.name}, target: {each.target} }}" for each in files)


def _files(services: tuple[Service, ...]) -> Iterator[str]:
    for name in secret_files.every(services):
        yield f'{name}: {{ file: "${{LAUNDRY_VAR_DIR{MISSING}}}/compose/secrets/{name}" }}'


def _image(service: Service) -> str:
    return f"image: laundry/{service.name}:${{LAUNDRY_VERSION:-{versions.current()}}}"


def _migrations(services: tuple[Service, ...]) -> Iterator[list[str]]:
    for service in services:
        if Need.DATABASE not in service.needs:
            continue
        lines = [
            f"migrate-{service.name}:",
            "  <<: *migration",
            f"  {_image(service)}",
            f"  command: [python, -m, laundry_service.migrate, {service.package}]",
            *(f"  {line}" for line in _secrets(secret_files.of_migration(service))),
        ]
        yield lines


def _container(service: Service, process: Process) -> list[str]:
    lines = [f"# {line}" for line in textwrap.wrap(process.note, WIDTH - 4)]
    lines += [f"{process.name}:", "  <<: *service", f"  {_image(service)}"]
    if process.name == service.name:
        lines += [
            "  build:",
            "    context: .",
            "    dockerfile: deploy/docker/Dockerfile",
            f"    args: {{ SERVICE: {service.name}, PACKAGE: {service.package} }}",
        ]
    if process.arguments:
        lines.append(f"  command: [{', '.join(['python', '-m', service.package, *process.arguments])}]")
    if waits_for := _waits_for(service):
        lines.append("  depends_on:")
        lines += [f"    {name}: {{ condition: service_{how} }}" for name, how in waits_for.items()]
        if "rabbitmq" in waits_for:
            lines.append("    haproxy: { condition: service_healthy, required: false }")
    lines.append("  environment:")
    lines += [f"    {line}" for line in _environment(service, process)]
    lines += [f"  {line}" for line in _secrets(secret_files.of_service(service))]
    lines.append('  volumes: ["${LAUNDRY_VAR_DIR:-./var}/telemetry:/run/telemetry:ro"]')
    if service.port is not None and process.name == service.name:
        lines.append(f'  ports: ["${{BIND:-127.0.0.1}}:${{{service.port_variable}:-{service.port}}}:8000"]')
    lines += [f"  {line}" for line in _size(process)]
    return lines


def _waits_for(service: Service) -> dict[str, str]:
    found: dict[str, str] = {}
    if Need.DATABASE in service.needs:
        found[f"migrate-{service.name}"] = "completed_successfully"
    elif Need.OBJECTS in service.needs:
        found["prepare"] = "completed_successfully"
    if Need.BROKER in service.needs and service.waits_for_broker:
        found["rabbitmq"] = "healthy"
    if not service.edge:
        found["fcm"] = "healthy"
    return found | dict.fromkeys(service.peers, "healthy")


def _environment(service: Service, process: Process) -> Iterator[str]:
    shared = {
        "identity": not service.edge or Need.SESSIONS in service.needs,
        "limits": not service.edge,
        "edge": service.edge,
        "objects": Need.OBJECTS in service.needs,
        "models": Need.MODELS in service.needs,
        "push": Need.PUSH in service.needs,
    }
    merged = ["*telemetry", *(f"*{name}" for name, wanted in shared.items() if wanted)]
    yield f"<<: [{', '.join(merged)}]"
    yield f"LAUNDRY_SERVICE_NAME: {process.name}"
    if Need.BROKER in service.needs:
        yield "LAUNDRY_DRILLS: ${DRILLS:-false}"
    if Need.CONSUMES in service.needs:
        yield "LAUNDRY_LETTERS_UNSIGNED_UNTIL: ${LETTERS_UNSIGNED_UNTIL:-}"
    if Need.PROVIDER in service.needs:
        yield from _provider()
    if Need.SESSIONS in service.needs:
        yield from _sessions()
    if Need.MANAGEMENT in service.needs:
        yield f"LAUNDRY_MANAGEMENT_URLS: '[\"http://{BROKER}:15672\"]'"
    for peer in service.peers:
        yield f"{url_variable(peer)}: http://{peer}:8000"
    for name, value in service.environment.items():
        yield f'{name}: "{value}"'


def _sessions() -> Iterator[str]:
    yield "LAUNDRY_PUBLIC_URL: *pages"
    yield "LAUNDRY_OIDC_ISSUER: *sign-in"
    own = f"http://{PROVIDER}:8000/.well-known/openid-configuration"
    yield f"LAUNDRY_OIDC_DISCOVERY_URL: ${{OIDC_DISCOVERY_URL:-{own}}}"
    yield f"LAUNDRY_OIDC_CLIENT_ID: ${{OIDC_CLIENT_ID:-{CLIENT_ID}}}"


def _provider() -> Iterator[str]:
    yield "LAUNDRY_PUBLIC_URL: *sign-in"
    yield "LAUNDRY_WEB_URLS: *all-pages"
    yield f"LAUNDRY_FIRST_OPERATOR: ${{FIRST_OPERATOR:-{FIRST_OPERATOR}}}"
    yield "LAUNDRY_MAIL_FROM: ${MAIL_FROM:-laundry@laundry.localhost}"


def _size(process: Process) -> Iterator[str]:
    own = process.resources
    if process.replicas == 1 and own.container_memory == USUAL.container_memory:
        return
    yield "deploy:"
    if process.replicas > 1:
        yield f"  replicas: {process.replicas}"
    yield "  resources:"
    yield from (f"    # {line}" for line in textwrap.wrap(own.limit_note, WIDTH - 10))
    yield f'    limits: {{ cpus: "1.0", memory: {own.container_memory} }}'
