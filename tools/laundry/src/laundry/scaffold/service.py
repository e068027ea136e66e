"""``laundry new service``: a folder from the template, one entry in the catalogue, two in the topology."""

import importlib.util
import keyword
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from laundry.deploy.environment import HOST_PORTS
from laundry.scaffold.entries import append_to
from laundry_catalogue.model import KEBAB
from laundry_servers.errors import LaundryError

TEMPLATE = Path(__file__).parent / "template"
SUFFIX = ".tmpl"
CATALOGUE = Path("libs/catalogue/src/laundry_catalogue/services.py")
TOPOLOGY = Path("libs/events/src/laundry_events/topology.py")
FIRST_PORT = 8001

SERVICE_ENTRY = """\
Service(
    name="$name",
    needs=frozenset({Need.DATABASE}),
    port=$port,
    proxied=("$name",),
),
"""
QUEUE_ENTRY = """\
Queue("equipment.fault.$name", ("equipment.fault",), "$name", "faults to count"),
"""
LOGIN_ENTRY = """\
Service("$name"),
"""


def create(name: str, root: Path) -> list[Path]:
    """Make a service that works, in the repository at ``root``.

    Args:
        name: in kebab-case; folder, login, database and image bear it, the package in snake_case.

    Returns:
        The files that were written or changed.

    Raises:
        LaundryError: the name cannot be taken, or the catalogue or the topology was not understood.
    """
    package = name.replace("-", "_")
    folder = root / "services" / name
    _check(name, package, folder)
    values = {"name": name, "package": package, "port": str(_free_port())}
    changed = {
        **_with_entries(root / CATALOGUE, values, {"BACKENDS": SERVICE_ENTRY}),
        **_with_entries(root / TOPOLOGY, values, {"PLAN.queues": QUEUE_ENTRY, "PLAN.services": LOGIN_ENTRY}),
        **dict(_from_template(folder, values)),
    }
    for path, text in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _format([folder, root / CATALOGUE, root / TOPOLOGY])
    return list(changed)


def _check(name: str, package: str, folder: Path) -> None:
    if not KEBAB.fullmatch(name):
        raise LaundryError(f"A service's name is in kebab-case, such as lost-towels; not {name!r}.")
    if keyword.iskeyword(package):
        raise LaundryError(f"{package} is a word of Python itself, so no service can be called {name}.")
    if folder.exists():
        raise LaundryError(f"There is a service {name} already: {folder}.")
    if importlib.util.find_spec(package) is not None:
        raise LaundryError(
            f"The Python package {package} exists already, so no service can be called {name}."
        )


def _free_port() -> int:
    taken = set(HOST_PORTS.values())
    return next(port for port in range(FIRST_PORT, 65536) if port not in taken)


def _with_entries(path: Path, values: dict[str, str], entries: dict[str, str]) -> dict[Path, str]:
    text = path.read_text()
    for variable, entry in entries.items():
        text = append_to(text, variable, _filled(entry, values))
    return {path: text}


def _filled(text: str, values: dict[str, str]) -> str:
    return Template(text).substitute(values)


def _from_template(folder: Path, values: dict[str, str]) -> Iterator[tuple[Path, str]]:
    for source in sorted(path for path in TEMPLATE.rglob("*") if path.is_file()):
        relative = str(source.relative_to(TEMPLATE)).replace("__package__", values["package"])
        yield folder / relative.removesuffix(SUFFIX), _filled(source.read_text(), values)


def _format(paths: Sequence[Path]) -> None:
    """Where the package stands among the imports, and where lines are broken, depends on its name."""
    for command in (["check", "--select", "I", "--fix"], ["format"]):
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "ruff", *command, "--quiet", *map(str, paths)], check=False
        )
