"""What the command line makes of errors: one line on standard error and an exit code."""

from pathlib import Path

import pytest

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
