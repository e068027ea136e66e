"""The chart, and its copy of the broker's definitions, which ``python -m laundry.deploy.chart`` writes."""

import json

from laundry.paths import PROJECT
from laundry_events.definitions import definitions
from laundry_events.topology import PLAN

CHART = PROJECT / "deploy" / "helm" / "laundry"
DEFINITIONS_FILE = CHART / "files" / "definitions.json"
NODES = 3


def definitions_text() -> str:
    """Return the plan for a cluster of three as the chart carries it: without users."""
    return json.dumps(definitions(PLAN, nodes=NODES), indent=1) + "\n"


if __name__ == "__main__":
    DEFINITIONS_FILE.write_text(definitions_text())
