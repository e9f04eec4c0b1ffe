"""The command line as a whole: its commands, what they import, what becomes of errors."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reid.errors import ConfigError
from search import cli


def test_a_path_that_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = 300 * "a"
    monkeypatch.setattr(cli, "app", lambda: Path(name).read_bytes())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: cannot use {name}: File name too long\n"


def test_every_command_is_there_and_helps() -> None:
    listed = CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": "300"}).output
    for name, line in cli.COMMANDS.items():
        assert line in listed
        shown = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "300"})
        assert shown.exit_code == 0
        assert line.rstrip(".") in shown.output


def test_version() -> None:
    assert (
        CliRunner().invoke(cli.app, ["--version"]).output
        == f"reid-pareto {metadata.version('reid-pareto')}\n"
    )


@pytest.mark.parametrize(
    "command",
    ["", "add-timings", "data", "doctor", "front", "pick", "report", "review", "search", "status", "verify"],
)
def test_what_trains_nothing_starts_without_torch(command: str) -> None:
    program = (
        f"import sys; from search.cli import app; app({[*command.split(), '--help']}, standalone_mode=False)"
    )
    program += (
        "; sys.exit(sorted({'torch', 'ray', 'optuna', 'plotly', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_report_does_not_overwrite_what_is_no_page(tmp_path: Path) -> None:
    place = tmp_path / "study.json"
    place.write_text("kept")
    with pytest.raises(ConfigError, match=r"--out .*study\.json must end in \.html"):
        CliRunner().invoke(cli.app, ["report", str(tmp_path), "--out", str(place)], catch_exceptions=False)
    assert place.read_text() == "kept"
