"""Three raylets with logical GPUs: own devices, shared devices, nodes that die and come, GPUs that break.

The cluster is one of `ray.cluster_utils` in a process of its own; drivers join it by address, with its token.
"""

import itertools
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from results import open_study
from tests.fault.drive import ROOT, Drive, attempts, finish, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.fault]


SLEEP_S = 8.0  # Longer than a worker takes to start, also on a busy machine: Tune would use the first for all trials.


class Keeper:
    """A cluster in another process."""

    def __init__(self, cpus: int, gpus: int, executions: Path, broken: str) -> None:
        self.variables = {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(ROOT),
            # Workers have the environment of their node, not the driver's.
            "REID_PARETO_FAKE_BROKEN": broken,
            "REID_PARETO_FAKE_LOG": str(executions),
            "REID_PARETO_FAKE_SLEEP": str(SLEEP_S),
        }
        self._process = subprocess.Popen(
            [sys.executable, "tests/fault/keeper.py", str(cpus), str(gpus)],
            cwd=ROOT,
            env={**os.environ, **self.variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def tell(self, order: str) -> str:
        """Let something be done; gives the address."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(order, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("end", file=self._process.stdin, flush=True)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def keeper(executions: Path) -> Iterator[Callable[..., Keeper]]:
    kept: list[Keeper] = []

    def make(cpus: int, gpus: int, broken: str = "") -> Keeper:
        kept.append(Keeper(cpus, gpus, executions, broken))
        return kept[-1]

    yield make
    for one in kept:
        one.end()


def runs(executions: Path) -> list[dict[str, Any]]:
    """Where each execution of a trial ran, in order of time; the baseline left out."""
    found = []
    for path in executions.iterdir():
        number, attempt, pid = path.name.rsplit("-", 2)
        found.append(
            {**json.loads(path.read_text()), "number": int(number), "attempt": int(attempt), "pid": int(pid)}
        )
    return sorted((run for run in found if run["number"] >= 0), key=lambda run: run["at"])


def test_t7_a_node_dies_and_one_comes(
    tmp_path: Path, drive: Drive, executions: Path, keeper: Callable[..., Keeper]
) -> None:
    cluster = keeper(1, 1)
    address = cluster.tell("add 3")
    trials = 24  # of half a second each: the others must not be done before the new node has a worker
    options = ("--address", address, "--gpus-per-trial", "1")
    driver = drive(trials, *options, sleep_s=0.5, environment=cluster.variables)
    wait_until(lambda: len(runs(executions)) >= 4, driver)
    cluster.tell("kill 2")
    killed_at = time.time()
    cluster.tell("add 1")
    said = finish(driver)
    assert driver.returncode == 0, said
    study = open_study(tmp_path / "study")
    assert [record.number for record in study.records()] == list(range(trials))
    assert {record.status for record in study.records()} == {"complete"}
    assert study.started() == ()
    ran = runs(executions)
    again = [run for run in ran if run["attempt"] > 1]
    assert 0 <= len(again) <= 1, "one trial at most ran on the lost node"
    assert sum(attempts(executions)[number] for number in range(trials)) == trials + len(again)
    nodes = {run["raylet"] for run in ran}
    assert len(nodes) == 4, "the added node is used"
    lost = nodes - {run["raylet"] for run in ran if run["at"] > killed_at + 0.5}
    assert not [run for run in again if run["raylet"] in lost], "run again elsewhere"


def test_each_trial_sees_its_own_device_and_halves_share_one(
    tmp_path: Path, drive: Drive, executions: Path, keeper: Callable[..., Keeper]
) -> None:
    cluster = keeper(4, 2)
    address = cluster.tell("add 1")
    driver = drive(8, "--address", address, "--gpus-per-trial", "1", environment=cluster.variables)
    said = finish(driver)
    assert driver.returncode == 0, said
    by_process: dict[int, set[str]] = {}
    for run in runs(executions):
        by_process.setdefault(run["pid"], set()).add(run["device"])
    assert {frozenset(devices) for devices in by_process.values()} == {frozenset("0"), frozenset("1")}
    assert len(by_process) <= 3, "workers are used again"
    study = open_study(tmp_path / "study")
    assert {record.worker["device"] for record in study.records()} == {"cuda:0", "cuda:1"}

    before = len(runs(executions))
    driver = drive(16, "--address", address, "--gpus-per-trial", "0.5", environment=cluster.variables)
    said = finish(driver)
    assert driver.returncode == 0, said
    halves = runs(executions)[before:]
    sharing = {
        (first["device"], second["device"])
        for first, second in itertools.combinations(halves, 2)
        if first["pid"] != second["pid"] and abs(first["at"] - second["at"]) < SLEEP_S / 2
    }
    assert ("0", "0") in sharing or ("1", "1") in sharing
    assert {run["device"] for run in halves} == {"0", "1"}


def test_t8_a_broken_gpu_is_used_no_more(
    tmp_path: Path, drive: Drive, executions: Path, keeper: Callable[..., Keeper]
) -> None:
    cluster = keeper(2, 2, "1")
    address = cluster.tell("add 1")
    options = ("--address", address, "--gpus-per-trial", "1")
    driver = drive(6, *options, environment=cluster.variables)
    said = finish(driver)
    assert driver.returncode == 0, said
    study = open_study(tmp_path / "study")
    assert {record.status for record in study.records()} == {"complete"}
    assert len(study.records()) == 6
    assert {record.worker["device"] for record in study.records()} == {"cuda:0"}
    on_broken = [run for run in runs(executions) if run["device"] == "1"]
    assert len(on_broken) == 1, "the broken device was given out again"


def test_t8_without_any_device_the_search_ends(drive: Drive, keeper: Callable[..., Keeper]) -> None:
    cluster = keeper(1, 1, "0")
    driver = drive(
        2, "--address", cluster.tell("add 1"), "--gpus-per-trial", "1", environment=cluster.variables
    )
    said = finish(driver)
    assert driver.returncode == 5, said
    assert "every device failed" in said


def test_joining_with_another_token_says_so(drive: Drive, keeper: Callable[..., Keeper]) -> None:
    cluster = keeper(1, 0)
    address = cluster.tell("add 1")
    wrong = {**cluster.variables, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    driver = drive(1, "--address", address, environment=wrong)
    said = finish(driver)
    assert driver.returncode == 2, said
    assert "is the token that of the cluster?" in said
