"""Files that others read while they are written."""

import json
from pathlib import Path

import pytest

from laundry_servers import files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "var" / "stack.json"
    files.write_json(path, {"pids": {"helper": 1}})
    with pytest.raises(TypeError):
        files.write_json(path, {"pids": object()})
    assert json.loads(path.read_text()) == {"pids": {"helper": 1}}
    assert [each.name for each in path.parent.iterdir()] == ["stack.json"]
    assert files.read_json(tmp_path / "missing.json") is None
