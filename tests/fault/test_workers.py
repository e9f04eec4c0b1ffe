"""Trials that fail in every way (docs/faults.md), in one study on a real Ray; each test looks at its own."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reid.timing import DeviceLock
from results import Record, Study, open_study
from search.runner.cluster import local_cpus
from tests.fault.drive import attempts, end_driver, finish, start_driver

pytestmark = [pytest.mark.ray, pytest.mark.fault]

FAULTS = {
    "0": "raise", "1": "nan", "2": "memory", "3": "kill", "4-1": "kill", "5-1": "hang", "6": "endless",
    "7-1": "children", "8": "prints", "9-1": "memory",
}  # fmt: skip
TRIALS = 11


@dataclass(frozen=True)
class Ended:
    """The study after all of it."""

    study: Study
    records: dict[int, Record]
    executions: Path
    locks: Path
    said: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    folder = tmp_path_factory.mktemp("workers")
    executions, locks = folder / "executions", folder / "locks"
    executions.mkdir()
    options = ("--silence-s", "3", "--stage-limit-s", "2")
    variables = {"REID_PARETO_LOCKS": str(locks)}
    driver = start_driver(
        folder / "study", executions, TRIALS, *options, faults=FAULTS, environment=variables
    )
    try:
        said = finish(driver)
        assert driver.returncode == 0, said
        study = open_study(folder / "study")
        yield Ended(study, {r.number: r for r in study.records()}, executions, locks, said)
    finally:
        end_driver(driver)


@pytest.mark.parametrize(
    ("number", "status", "attempt", "kind"),
    [
        pytest.param(0, "failed", 1, "RuntimeError", id="T1-raises"),
        pytest.param(1, "failed", 1, "bad_metric", id="T2-nan"),
        pytest.param(2, "failed", 2, "OutOfMemory", id="T3-memory-twice"),
        pytest.param(9, "complete", 2, None, id="T3-memory-once"),
        pytest.param(3, "failed", 2, "WorkerLost", id="T5-killed-twice"),
        pytest.param(4, "complete", 2, None, id="T5-killed-once"),
        pytest.param(5, "complete", 2, None, id="T5-hung"),
        pytest.param(6, "failed", 1, "TimeLimit", id="T10-endless"),
        pytest.param(7, "complete", 2, None, id="T11-killed-with-children"),
        pytest.param(10, "complete", 1, None, id="untouched"),
    ],
)
def test_each_failure_ends_as_its_row_says(
    ended: Ended, number: int, status: str, attempt: int, kind: str | None
) -> None:
    record = ended.records[number]
    assert (record.status, record.attempt, record.error and record.error["kind"]) == (status, attempt, kind)
    assert sorted(ended.records) == list(range(TRIALS))
    assert ended.study.started() == ()
    assert (number in {r.number for r in ended.study.front()}) <= (status == "complete")
    assert attempts(ended.executions)[number] == attempt


def test_t3_the_second_attempt_is_smaller_and_says_so(ended: Ended) -> None:
    record = ended.records[9]
    asked = ended.study.baseline.config["identities_per_batch"] if ended.study.baseline else 0
    assert record.config["identities_per_batch"] == asked // 2
    assert record.checks["smaller"] == {"identities_per_batch": [asked, asked // 2]}


def test_t5_a_hung_worker_is_killed_and_its_device_freed(ended: Ended) -> None:
    assert "#5 WorkerLost: the worker gave no sign of life for 3 s" in ended.said
    start = time.monotonic()
    with DeviceLock("cpu", folder=ended.locks).exclusive():
        assert time.monotonic() - start < 5
    hung = next(path for path in ended.executions.iterdir() if path.name.startswith("5-1-"))
    assert not is_alive(int(hung.name.rsplit("-", 1)[1]))


def test_t10_the_record_names_the_stage_and_the_limit(ended: Ended) -> None:
    record = ended.records[6]
    assert record.error is not None
    assert record.error["message"] == "stage dense took longer than --stage-limit-s 2"
    (lost,) = [stage for stage in record.stages if stage.get("lost")]
    assert 2 < lost["seconds"] < 2 + 5


def test_t5_a_killed_trial_is_begun_again_within_fifteen_seconds(ended: Ended) -> None:
    began = {
        tuple(path.name.split("-")[:2]): json.loads(path.read_text())["at"]
        for path in ended.executions.iterdir()
        if path.name.startswith("4-")
    }
    assert 0 < began["4", "2"] - began["4", "1"] < 15


def test_t11_a_killed_trial_leaves_no_child_and_no_shared_memory(ended: Ended) -> None:
    left = json.loads((ended.executions.parent / "left.json").read_text())
    deadline = time.monotonic() + 5
    while is_alive(left["child"]) or Path("/dev/shm", left["segment"]).exists():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_the_log_of_a_trial_is_kept_and_named(ended: Ended) -> None:
    log = ended.study.path / ended.records[8].worker["log"]
    text = log.read_text()
    assert "printed by python" in text
    assert "printed by a child" in text
    assert "sleeping" in text
    assert "log trials/logs/000000-1.log" in ended.said


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z" and os.path.exists(f"/proc/{pid}")


def test_short_trials_do_not_cost_a_worker_each(tmp_path: Path) -> None:
    """As many processes as places; Tune would kill one that starts up whenever another becomes free."""
    cores = local_cpus()
    if cores < 2:
        pytest.skip("one core holds one worker")
    executions = tmp_path / "executions"
    executions.mkdir()
    driver = start_driver(tmp_path / "study", executions, 60, "--cpus-per-trial", str(cores // 2))
    try:
        said = finish(driver)
        assert driver.returncode == 0, said
    finally:
        end_driver(driver)
    records = open_study(tmp_path / "study").records()
    places = cores // (cores // 2)
    assert len({record.worker["pid"] for record in records}) == places
