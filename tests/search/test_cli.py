"""The command line as a whole: its commands, what they import, what becomes of errors."""

import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from reid.errors import ConfigError, ReidParetoError
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


@pytest.mark.parametrize("kind", [ConfigError, OSError])
def test_a_foreign_text_in_an_error_cannot_drive_the_terminal(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise kind("limit \x1b]0;pwned\x07\x1b[2J <= 1\nof\u202e a study")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit):
        cli.main()
    told = capsys.readouterr().err
    assert told.endswith("\n")
    assert told[:-1].isprintable()


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
    ["", *cli.COMMANDS],
)
def test_help_does_not_wait_for_torch(command: str) -> None:
    program = (
        f"import sys; from search.cli import app; app({[*command.split(), '--help']}, standalone_mode=False)"
    )
    program += (
        "; sys.exit(sorted({'torch', 'ray', 'optuna', 'plotly', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "FILE"], ", a file; a study is a folder"),
        (["pick", "FILE", "--out", "package"], ", a file; a study is a folder"),
        (["data", "inspect", "FILE"], " is a file; a prepared dataset is a folder"),
        (["data", "prepare", "synthetic", "--to", "FILE"], " is a file; name a folder"),
        (["trial", "--data", ".", "--out", "FILE"], " is a file; name a new folder"),
    ],
)
def test_a_file_in_place_of_a_folder_is_called_one(arguments: list[str], said: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    with pytest.raises(ReidParetoError, match=f"{file}{said}"):
        CliRunner().invoke(cli.app, given, catch_exceptions=False)
    assert file.read_text() == "kept"


@pytest.mark.parametrize(("command", "said"), [("bench", ""), ("train", "; the same command resumes")])
def test_an_interruption_is_told(command: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    single = typer.Typer()
    single.command(command)(interrupted)
    monkeypatch.setattr(cli, "_imported", lambda name: typer.main.get_command(single))
    done = CliRunner().invoke(cli.app, [command])
    assert done.exit_code == 130
    assert done.stderr.splitlines() == [f"interrupted{said}"]


def test_ctrl_c_ends_a_command_with_one_line(tmp_path: Path) -> None:
    """As a terminal sends it: to the process and all of its children."""
    arguments = ["data", "prepare", "synthetic", "--identities", "5000", "--to", str(tmp_path / "people")]
    with subprocess.Popen(
        [sys.executable, "-m", "search.cli", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A suite that runs in the background of a shell hands down SIGINT as ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        try:
            end = time.monotonic() + 60
            while not any(tmp_path.iterdir()) and time.monotonic() < end:
                time.sleep(0.05)
            os.killpg(running.pid, signal.SIGINT)
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()
    assert (running.returncode, said) == (130, "interrupted\n")
    assert not any(tmp_path.iterdir())


def test_a_report_does_not_overwrite_what_is_no_page(tmp_path: Path) -> None:
    place = tmp_path / "study.json"
    place.write_text("kept")
    with pytest.raises(ConfigError, match=r"--out .*study\.json must end in \.html"):
        CliRunner().invoke(cli.app, ["report", str(tmp_path), "--out", str(place)], catch_exceptions=False)
    assert place.read_text() == "kept"
