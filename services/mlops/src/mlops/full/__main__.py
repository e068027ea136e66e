"""The process of one full run: ``python -m mlops.full <run id>``. The service starts it."""

import sys

from mlops.full.job import Full
from mlops.jobs.entry import main

if __name__ == "__main__":
    sys.exit(main("full", Full))
