"""Row D5 of docs/faults.md: Ctrl-C as a terminal sends it, to the driver and all of its children at once."""

import os
import signal
import time
from pathlib import Path

import pytest

from results import open_study
from tests.fault.drive import Drive, attempts, finish, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.fault]


def test_d5_once_ends_the_step_and_the_trial_goes_on_where_it_was(
    tmp_path: Path, drive: Drive, executions: Path
) -> None:
    steps = tmp_path / "study" / "cache" / "steps-0"
    driver = drive(1, faults={"0": "steps"})
    wait_until(lambda: steps.exists() and steps.stat().st_size > 2, driver)
    start = time.monotonic()
    os.killpg(driver.pid, signal.SIGINT)
    said = finish(driver)
    assert driver.returncode == 130, said
    assert time.monotonic() - start < 30
    done = steps.stat().st_size
    assert done < 40, "it waited for the whole trial"
    assert "#0 Stopped" in said
    assert [note.number for note in open_study(tmp_path / "study").started()] == [0]

    again = drive(1, faults={"0": "steps"})
    said = finish(again)
    assert again.returncode == 0, said
    assert steps.read_bytes() == bytes(range(40)), "a step was repeated or lost"
    record = open_study(tmp_path / "study").records()[0]
    assert (record.status, record.attempt) == ("complete", 2)


def test_d5_once_leaves_a_step_that_does_not_end(tmp_path: Path, drive: Drive, executions: Path) -> None:
    driver = drive(1, faults={"0": "deaf"})
    wait_until(lambda: attempts(executions)[0], driver)
    start = time.monotonic()
    driver.send_signal(signal.SIGINT)
    said = finish(driver)
    assert driver.returncode == 130, said
    assert time.monotonic() - start < 30
    assert [note.number for note in open_study(tmp_path / "study").started()] == [0]
