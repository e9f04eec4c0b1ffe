"""Fixtures of the fault tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault.drive import Drive, end_driver, start_driver


@pytest.fixture
def executions(tmp_path: Path) -> Path:
    """Folder in which every execution of a fake trial leaves a file `NUMBER-ATTEMPT-PID`."""
    folder = tmp_path / "executions"
    folder.mkdir()
    return folder


@pytest.fixture
def drive(tmp_path: Path, executions: Path) -> Iterator[Drive]:
    """Start a driver on `tmp_path / "study"`; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(trials: int, *options: str, **changes: Any) -> subprocess.Popen[str]:
        started.append(start_driver(tmp_path / "study", executions, trials, *options, **changes))
        return started[-1]

    yield start
    for process in started:
        end_driver(process)
