"""The account of the lock's waits: what counts, and what is part of something else."""

import threading
import time
from pathlib import Path

import pytest

from benchmarks.waiting import Account, together
from reid.timing import DeviceLock

HELD_S = 0.2


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    for name, measured in (("shared", account.shared), ("exclusive", account.exclusive)):
        monkeypatch.setattr(DeviceLock, name, measured(getattr(DeviceLock, name)))
    return account


def test_a_step_that_waits_for_a_timing_is_counted(account: Account, tmp_path: Path) -> None:
    lock, timed = DeviceLock("cpu", folder=tmp_path), threading.Event()

    def time_something() -> None:
        with lock.exclusive():
            timed.set()
            time.sleep(HELD_S)

    timer = threading.Thread(target=time_something)
    timer.start()
    timed.wait()
    with lock.shared(), lock.shared():
        pass
    timer.join()
    sums = account.sums()
    assert (sums["steps"], sums["timings"]) == (1, 1)
    assert sums["alone_s"] >= HELD_S
    assert HELD_S / 2 < sums["waited_s"] == sums["longest_wait_s"]
    assert sums["waited_by_step_s"] == {"elsewhere": sums["waited_s"]}


def test_locks_within_a_timing_are_part_of_it(account: Account, tmp_path: Path) -> None:
    lock = DeviceLock("cpu", folder=tmp_path)
    with pytest.raises(ZeroDivisionError), lock.exclusive(), lock.exclusive(), lock.shared():
        1 / 0  # noqa: B018
    with lock.shared():
        pass
    sums = account.sums()
    assert (sums["steps"], sums["timings"]) == (1, 1)


def test_trials_add_up() -> None:
    one = {**Account().sums(), "worker_s": 10.0, "waited_s": 1.0, "waited_by_step_s": {"a": 1.0}}
    other = {**one, "worker_s": 30.0, "longest_wait_s": 0.5, "waited_by_step_s": {"a": 0.5, "b": 0.5}}
    found = together([one, other])
    assert (found["share"], found["longest_wait_s"]) == (2 / 40, 0.5)
    assert found["waited_by_step_s"] == {"a": 1.5, "b": 0.5}
