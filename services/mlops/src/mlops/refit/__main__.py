"""The process of one refit: ``python -m mlops.refit <run id>``. The service starts it."""

import sys

import laundry_service.ends_at_sigterm  # noqa: F401 - before what takes long
from mlops.jobs.entry import main
from mlops.refit.job import Refit

if __name__ == "__main__":
    sys.exit(main("refit", Refit))
