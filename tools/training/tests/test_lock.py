"""The requirements of training are divided so that each torch finds its own hash."""

import importlib.util
import io
import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "lock_training.py"
COMPILED = """\
numpy==2.4.6 \\
    --hash=sha256:aa
nvidia-cublas==13.1 ; sys_platform == 'linux' \\
    --hash=sha256:bb
torch==2.13.0 \\
    --hash=sha256:cc
"""


def test_a_torch_for_processors_may_have_a_hash_for_each_python_and_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("lock_training", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "__file__", str(tmp_path / SCRIPT.name))
    monkeypatch.setattr(script, "OF_PROCESSORS", {"torch==2.13.0": ["dd", "ee"]})
    monkeypatch.setattr("sys.stdin", io.StringIO(COMPILED))
    script.main()
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    # uv takes the last of several entries for one package, so it has to be one.
    cpu = made["training-requirements-cpu.txt"]
    assert re.findall(r"^torch.*", cpu, re.MULTILINE) == ["torch==2.13.0+cpu \\"]
    assert re.findall("sha256:(.*?)(?: |$)", cpu, re.MULTILINE) == ["dd", "ee"]
    plain = made["training-requirements.txt"]
    assert re.findall("sha256:(.*?)(?: |$)", plain, re.MULTILINE) == ["aa", "dd", "ee", "cc"]
    assert "nvidia" not in plain
    assert "nvidia-cublas==13.1" in made["training-requirements-cuda.txt"]
