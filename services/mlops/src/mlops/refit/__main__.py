"""The process of one refit: ``python -m mlops.refit <run id>``. The service starts it."""

import sys

from mlops.jobs.entry import main
from mlops.refit.job import Refit

if __name__ == "__main__":
    sys.exit(main("refit", Refit))
