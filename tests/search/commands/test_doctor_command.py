"""`doctor` on a machine where something does not work."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.cli import app


@pytest.mark.parametrize("spoil", ["folder", "file"])
def test_a_lock_that_fails_is_told_beside_all_else(
    spoil: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "locks"
    if spoil == "folder":
        place.touch()
    else:
        (place / "cpu.lock").mkdir(parents=True)
    monkeypatch.setenv("REID_PARETO_LOCKS", str(place))
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["timing_lock"].startswith("fails: cannot ")
    assert str(place) in found["timing_lock"]
    assert found["cores"] >= 1
    assert "onnxruntime" in found["runtimes"]
    shown = CliRunner().invoke(app, ["doctor"]).output
    assert "timing lock: fails: cannot " in shown
    assert "torchvision: " in shown
