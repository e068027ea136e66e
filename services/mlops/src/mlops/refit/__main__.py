"""The process of one training run: ``python -m mlops.refit <run id>``. The service starts it."""

import asyncio
import os
import sys
import threading

from laundry_service.logging import configure_logging
from mlops.refit.job import run_refit
from mlops.settings import Settings


def _end_with_the_service() -> None:
    sys.stdin.buffer.read()
    os._exit(3)


def main() -> int:
    """Run the run. Returns the exit code: 0 also for a run that failed with its reason noted."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mlops.refit <run id>")
    os.nice(10)
    settings = Settings()
    configure_logging(f"{settings.service_name}-refit", settings.log_level)
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    return asyncio.run(run_refit(sys.argv[1], settings))


if __name__ == "__main__":
    sys.exit(main())
