"""Runs a command several times, and starts again each that ends, as a supervisor would."""

import signal
import subprocess
import sys
import time

LOOKS_EVERY_S = 0.1
PAUSE_S = 0.5


def main() -> None:
    """Run ``replicas N COMMAND...`` until SIGTERM."""
    number, command = int(sys.argv[1]), sys.argv[2:]
    running = [subprocess.Popen(command) for _ in range(number)]  # noqa: S603
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        while True:
            time.sleep(LOOKS_EVERY_S)
            for turn, child in enumerate(running):
                if child.poll() is not None:
                    time.sleep(PAUSE_S)
                    running[turn] = subprocess.Popen(command)  # noqa: S603
    finally:
        for child in running:
            child.terminate()


if __name__ == "__main__":
    main()
