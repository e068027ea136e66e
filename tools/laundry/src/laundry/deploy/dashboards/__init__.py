"""The dashboards, as data: what Grafana shows, tests ask a Prometheus for, and ``make pages`` draws."""

from laundry.deploy.chart import CHART
from laundry.deploy.dashboards.overview import OVERVIEW
from laundry.deploy.dashboards.services import SERVICES

FOLDER = CHART / "files" / "dashboards"
DASHBOARDS = (OVERVIEW, SERVICES)
