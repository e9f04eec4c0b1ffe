"""What `search` and `demo` say at their end."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import results
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import ArtifactError
from search.cli import app
from search.commands import demo
from tests.results.conftest import trial


def test_next_commands_hold_where_a_path_has_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = SyntheticOptions(identities=4, test_identities=2, images_per_camera=2)
    root = prepare_synthetic(options, tmp_path / "people").root
    untrusted = trial(0, 0.7, 3.0, latency_trusted=False)
    done = SimpleNamespace(place="my study", records=lambda: [untrusted])
    monkeypatch.setattr("search.session.search", lambda *_, **__: done)
    arguments = ["search", "--study", "my study", "--trials", "1", "--data", str(root)]
    said = " ".join(CliRunner().invoke(app, arguments, catch_exceptions=False).stderr.split())
    for command in ("retime", "front", "report"):
        assert f"reid-pareto {command} 'my study'" in said


def test_the_demo_names_the_command_that_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    baseline = trial(-1, 0.8, 8.0, checks={"untrained_mAP": 0.1})
    opened = SimpleNamespace(baseline=baseline, records=list)
    monkeypatch.setattr(results, "open_study", lambda place: opened)
    with pytest.raises(ArtifactError, match="reid-pareto status 'my demo/study' tells why"):
        demo._margin_over_untrained(Path("my demo/study"))
