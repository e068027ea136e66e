"""Fine-tuning itself, where there is an interpreter with torch (`make train-setup`)."""

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]


def test_fine_tuning_starts_from_the_shipped_weights_and_goes_on_after_a_break(tmp_path: Path) -> None:
    python = Path(os.environ.get("LAUNDRY_TRAINING_PYTHON") or PROJECT / ".venv-train" / "bin" / "python")
    if not python.is_file():
        pytest.skip(f"no interpreter with torch at {python}; `make train-setup` makes one")
    done = subprocess.run(
        [python, Path(__file__).with_name("torch_check.py"), PROJECT / "models", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "fine\n"
