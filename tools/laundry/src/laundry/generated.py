"""Every committed file that is made from the code, or holds a part that is.

``python -m laundry.generated`` writes them, ``--check`` only compares. A part that is made stands between
two lines of its file, a comment with ``>>> NAME`` and one with ``<<< NAME``; the rest is written by hand.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from laundry import contracts, decisions, privacy_page
from laundry.deploy import (
    broker,
    chart,
    compose,
    grafana,
    images,
    installing,
    memory,
    prometheus,
    proxied,
    readme,
)
from laundry.paths import PROJECT


def files() -> Iterator[tuple[Path, str]]:
    """Yield each file with the text that it should have."""
    for name, text in contracts.documents().items():
        yield contracts.FOLDER / name, text
    yield from deployment_files()
    yield privacy_page.FILE, privacy_page.text()
    yield decisions.FILE, decisions.text()


def deployment_files() -> Iterator[tuple[Path, str]]:
    """Yield those that need no service to be built: Compose, the chart, READMEs."""
    yield from grafana.files()
    yield from prometheus.files()
    yield images.FILE, images.text()
    yield broker.PROXY_FILE, broker.proxy_text()
    yield broker.CLUSTER_FILE, broker.cluster_text()
    yield chart.DEFINITIONS_FILE, chart.definitions_text()
    yield chart.SERVICES_FILE, chart.services_text()
    made_in_part: dict[Path, Callable[[str], str]] = {
        compose.FILE: compose.text,
        compose.DOCKERFILE: compose.dockerfile_text,
        broker.COMPOSE_FILE: broker.compose_text,
        broker.CHART_FILE: broker.chart_text,
        readme.FILE: readme.text,
        installing.FILE: installing.text,
        memory.FILE: memory.text,
        proxied.FILE: proxied.text,
    }
    for path, make in made_in_part.items():
        yield path, make(path.read_text())
    values = chart.values_text(chart.VALUES_FILE.read_text())
    schema = chart.schema_text(chart.SCHEMA_FILE.read_text(), values)
    yield chart.VALUES_FILE, values
    yield chart.SCHEMA_FILE, schema
    yield chart.README, chart.readme_text(chart.README.read_text(), values, schema)


def outdated() -> list[Path]:
    """Return the committed files that differ from what the code makes."""
    return [path for path, text in files() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Write or check the files."""
    parser = argparse.ArgumentParser(prog="python -m laundry.generated", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with what is committed")
    if parser.parse_args().check:
        stale = outdated()
        for path in stale:
            print(f"{path.relative_to(PROJECT)} is out of date: run `make contracts`", file=sys.stderr)
        return int(bool(stale))
    for path, text in files():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
