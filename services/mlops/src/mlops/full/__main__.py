"""The process of one full run: ``python -m mlops.full <run id>``. The service starts it."""

import sys

import laundry_service.ends_at_sigterm  # noqa: F401 - before what takes long
from mlops.full.job import Full
from mlops.jobs.entry import main

if __name__ == "__main__":
    sys.exit(main("full", Full))
