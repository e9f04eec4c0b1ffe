"""Early stopping on a real Ray cluster: stopped trials end at a rung, the process goes on with the next trial."""

from pathlib import Path

import pytest

from results import open_study
from tests.fault.drive import Drive, attempts, finish

pytestmark = [pytest.mark.ray]

TRIALS = 12


def test_asha_stops_trials_at_rungs_on_ray(tmp_path: Path, drive: Drive, executions: Path) -> None:
    faults = {str(number): "epochs" for number in range(TRIALS)}
    driver = drive(TRIALS, "--scheduler", "asha", faults=faults, sleep_s=0.0)
    said = finish(driver)
    assert driver.returncode == 0, said
    study = open_study(tmp_path / "study")
    records = study.records()
    assert [record.number for record in records] == list(range(TRIALS))
    assert study.started() == ()
    assert all(count == 1 for count in attempts(executions).values())
    stopped = [record for record in records if record.status == "stopped"]
    complete = [record for record in records if record.status == "complete"]
    assert stopped
    assert complete
    assert len(stopped) + len(complete) == TRIALS
    # Rungs at 2 and 4 of 8 epochs; there is none at the last.
    assert {len(record.curves) for record in stopped} <= {2, 4}
    processes = {path.name.rsplit("-", 1)[1] for path in executions.iterdir()}
    assert len(processes) <= 3, "a stopped trial's process is used again"
    assert not {record.number for record in stopped} & {record.number for record in study.front()}
