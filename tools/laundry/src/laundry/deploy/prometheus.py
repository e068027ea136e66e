"""What Prometheus scrapes, and which rules it evaluates: for Compose from the catalogue, or of a stack."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from laundry.deploy.broker import COMPOSE_NODES
from laundry.deploy.chart import CHART
from laundry.paths import PROJECT
from laundry_catalogue import SERVICES

COMPOSE_FILE = PROJECT / "deploy" / "compose" / "prometheus.yml"
RULES = CHART / "files" / "alerts.yaml"
METRICS_PORT, BROKER_METRICS_PORT = 9464, 15692
ALERTMANAGER_FILE = COMPOSE_FILE.with_name("alertmanager.yml")
INHIBITIONS = CHART / "files" / "inhibitions.yaml"
ALERTMANAGER = """\
# Written by `make contracts` from the chart's inhibitions. Alerts are shown on port 9093 and sent to nobody:
# give the receiver people an address (https://prometheus.io/docs/alerting/latest/configuration/#receiver).
route:
  receiver: people
  group_by: [alertname]
  routes:
    # It always rings: a receiver that watches for its silence belongs here.
    - receiver: watchdog
      matchers: ['alertname="LaundryWatchdog"']
receivers:
  - name: people
  - name: watchdog
"""
MADE = "# Written by `make contracts` from libs/catalogue.\n"


def files() -> Iterator[tuple[Path, str]]:
    """Yield the configurations of Compose's Prometheus and Alertmanager."""
    yield COMPOSE_FILE, MADE + yaml.safe_dump(_for_compose(), sort_keys=False, width=110)
    yield ALERTMANAGER_FILE, f"{ALERTMANAGER}\n{INHIBITIONS.read_text()}"


def _for_compose() -> dict[str, Any]:
    jobs = [
        # Every replica has an address of its own.
        _job(process.name, dns_sd_configs=[_addresses(process.name, port=METRICS_PORT)])
        for service in SERVICES
        for process in service.processes
    ]
    # A node that is not there has no name, so it is no target.
    jobs.append(_job("rabbitmq", dns_sd_configs=[_addresses(*COMPOSE_NODES, port=BROKER_METRICS_PORT)]))
    return config(jobs, rules="/etc/prometheus/alerts.yaml", every_s=15, alertmanagers=["alertmanager:9093"])


def for_stack(document: Mapping[str, Any], *, rules: str, every_s: int) -> dict[str, Any]:
    """Return the configuration for a running stack, from its ``var/stack.json``."""
    process_of = {
        instance: process.name
        for service in SERVICES
        for process in service.processes
        for instance in process.instances
    }
    targets: dict[str, list[str]] = {}
    for instance, url in document["metrics_urls"].items():
        targets.setdefault(process_of[instance], []).append(urlsplit(url).netloc)
    jobs = [_job(name, static_configs=[{"targets": found}]) for name, found in targets.items()]
    brokers = [urlsplit(url).netloc for url in document["broker_metrics_urls"]]
    encrypted = document.get("tls")
    trust = {"scheme": "https", "tls_config": {"ca_file": encrypted["ca_file"]}} if encrypted else {}
    jobs.append(_job("rabbitmq", static_configs=[{"targets": brokers}], **trust))
    return config(jobs, rules=rules, every_s=every_s)


def config(
    jobs: Sequence[Mapping[str, Any]], *, rules: str, every_s: int, alertmanagers: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a configuration; ``job`` is the process's name, as in the chart."""
    found: dict[str, Any] = {
        "global": {"scrape_interval": f"{every_s}s", "evaluation_interval": f"{every_s}s"},
        "rule_files": [rules],
        "scrape_configs": list(jobs),
    }
    if alertmanagers:
        found["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]}
    return found


def _job(name: str, **more: Any) -> dict[str, Any]:
    return {"job_name": name, **more}


def _addresses(*names: str, port: int) -> dict[str, Any]:
    return {"names": list(names), "type": "A", "port": port, "refresh_interval": "15s"}
