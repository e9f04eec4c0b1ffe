"""The device lock across real processes that are killed, greedy, many, or do not know it (docs/faults.md)."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from reid.timing import DeviceLock, calibration_kernel_ms, measure
from reid.timing.queue import queued_ms

pytestmark = [pytest.mark.fault, pytest.mark.clock]

HOLD = """
import sys, time
from itertools import pairwise
from pathlib import Path
from reid.timing.lock import DeviceLock
lock = DeviceLock("cpu", folder=Path(sys.argv[1]))
with getattr(lock, sys.argv[2])():
    print("held", flush=True)
    time.sleep(600)
"""

HOLD_AND_FORK = """
import os, sys, time
from itertools import pairwise
from pathlib import Path
from reid.timing.lock import DeviceLock
with DeviceLock("cpu", folder=Path(sys.argv[1])).exclusive():
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(600)
"""

STEPS = """
import sys, time
from itertools import pairwise
from pathlib import Path
from reid.timing.lock import DeviceLock
lock = DeviceLock("cpu", folder=Path(sys.argv[1]))
steps = 0
print("started", flush=True)
stop = Path(sys.argv[1]) / "stop"
while not stop.exists():
    with lock.shared():
        time.sleep(float(sys.argv[2]))
    steps += 1
print(steps, flush=True)
"""

# Each interval inside the lock, by the clock that all processes share.
TIMINGS = """
import sys, time
from itertools import pairwise
from pathlib import Path
from reid.timing.lock import DeviceLock
lock = DeviceLock("cpu", folder=Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    asked = time.monotonic()
    with lock.exclusive():
        entered = time.monotonic()
        time.sleep(0.02)
        print(asked, entered, time.monotonic(), flush=True)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python program with arguments and ends it after the test."""
    running: list[subprocess.Popen[str]] = []

    def begin(program: str, *arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", program, *map(str, arguments)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


ROOT = Path(__file__).resolve().parents[2]


def becomes_free(lock: DeviceLock, within_s: float) -> bool:
    """Whether the device can be held alone before the time is over; asks the kernel, without waiting in line."""
    end = time.monotonic() + within_s
    with lock.path.open("r+") as file:
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(0.01)
    return False


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
def test_m4_a_killed_holder_frees_the_device(mode: str, start: Start, tmp_path: Path) -> None:
    """M4: free within 5 s of the kill."""
    holder = start(HOLD, tmp_path, mode)
    assert said(holder) == "held"
    lock = DeviceLock("cpu", folder=tmp_path)
    assert not becomes_free(lock, within_s=0.1)
    holder.kill()
    assert becomes_free(lock, within_s=5)
    with lock.exclusive():
        pass


def test_a_child_that_outlives_a_killed_holder_does_not_keep_the_device(start: Start, tmp_path: Path) -> None:
    """M4, where the killed holder had forked, as data loaders do."""
    holder = start(HOLD_AND_FORK, tmp_path)
    child = int(said(holder))
    try:
        holder.kill()
        holder.wait()
        assert becomes_free(DeviceLock("cpu", folder=tmp_path), within_s=5)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_killed_waiter_leaves_the_turnstile_open(start: Start, tmp_path: Path) -> None:
    lock = DeviceLock("cpu", folder=tmp_path)
    with lock.shared():
        waiter = start(HOLD, tmp_path, "exclusive")
        time.sleep(0.5)
        waiter.kill()
        waiter.wait()
        other = start(HOLD, tmp_path, "shared")
        assert select.select([other.stdout], [], [], 5)[0], "a new step waits for a dead timer"


def test_a_stopped_holder_is_named_to_all_who_wait(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A timer waits for the lock, a step behind it for the turnstile; the holder goes on, and so do they."""
    monkeypatch.setattr("reid.timing.waiting.PATIENCE_S", 0.3)
    monkeypatch.setattr("reid.timing.waiting.REPEAT_S", 0.5)
    holder = start(HOLD, tmp_path, "shared")
    assert said(holder) == "held"
    holder.send_signal(signal.SIGSTOP)
    lock = DeviceLock("cpu", folder=tmp_path)

    def work(hold: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        with hold():
            pass

    waiting = [threading.Thread(target=work, args=(hold,)) for hold in (lock.exclusive, lock.shared)]
    for thread in waiting:
        thread.start()
        time.sleep(0.2)
    end = time.monotonic() + 30
    while len(caplog.messages) < 4 and time.monotonic() < end:
        time.sleep(0.05)
    holder.kill()
    for thread in waiting:
        thread.join(timeout=5)
        assert not thread.is_alive()
    for file in (lock.path, lock.path.with_suffix(".turnstile")):
        told = [line for line in caplog.messages if f"waiting for the device lock {file} for " in line]
        assert len(told) >= 2, "said once and again"
        assert all(f"process {holder.pid} ({sys.executable} -c" in line for line in told)
        assert all(f"which is stopped: kill -CONT {holder.pid}" in line for line in told)
    silent = len(caplog.messages)
    time.sleep(0.7)
    assert len(caplog.messages) == silent, "told after the wait was over"


@pytest.mark.parametrize("step_s", [0.0, 0.02])
def test_m2_a_timer_gets_in_although_steps_never_pause(step_s: float, start: Start, tmp_path: Path) -> None:
    """Four trainers overlap all the time; without the turnstile the timer would wait for ever."""
    trainers = [start(STEPS, tmp_path, step_s) for _ in range(4)]
    assert [said(trainer) for trainer in trainers] == ["started"] * 4
    lock = DeviceLock("cpu", folder=tmp_path)
    waits = []
    for _ in range(10):
        asked = time.monotonic()
        with lock.exclusive():
            waits.append(time.monotonic() - asked)
        time.sleep(0.01)
    (tmp_path / "stop").touch()
    assert max(waits) < 2
    assert min(int(said(trainer)) for trainer in trainers) > 0


def test_m5_two_studies_never_time_at_once_and_take_turns(start: Start, tmp_path: Path) -> None:
    """M5: timings exclude each other; nobody waits longer than two timings, whatever the others ask."""
    studies = [start(TIMINGS, tmp_path, 20) for _ in range(2)]
    rows = []
    for study in studies:
        out, _ = study.communicate(timeout=60)
        rows += [tuple(map(float, line.split())) for line in out.splitlines()]
    rows.sort(key=lambda row: row[1])
    assert len(rows) == 40
    for (_, _, left), (_, entered, _) in pairwise(rows):
        assert entered >= left
    for asked, entered, _ in rows:
        overtaken = sum(asked < other_entered < entered for _, other_entered, _ in rows)
        assert overtaken <= 2


def test_steps_go_on_between_timings(start: Start, tmp_path: Path) -> None:
    """A study that times without end still lets a trainer of another have its steps."""
    trainer = start(STEPS, tmp_path, 0.001)
    assert said(trainer) == "started"
    lock = DeviceLock("cpu", folder=tmp_path)
    for _ in range(20):
        with lock.exclusive():
            time.sleep(0.02)
    (tmp_path / "stop").touch()
    assert int(said(trainer)) >= 10


def test_m3_a_steady_foreign_load_is_not_trusted(start: Start, tmp_path: Path) -> None:
    """M3 (b): a process that ignores the lock shares the core of the timing; kernel and queue give it away."""
    lock = DeviceLock("cpu", folder=tmp_path)
    matrix = np.random.default_rng(0).standard_normal((160, 160))
    at_start = calibration_kernel_ms(lock)

    def run() -> None:
        np.einsum("ij,jk->ik", matrix, matrix)

    core = max(os.sched_getaffinity(0))
    loads = [start(f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(1, flush=True)\nwhile True: pass")]
    assert said(loads[0]) == "1"
    found = measure(run, lock=lock, kernel_ms_at_start=at_start, runs=20, seconds=0.1)
    assert not found.trusted
    assert found.attempts == 3
    assert found.kernel_drift > 0.05
    assert "slower since the start" in found.reason
    if queued_ms():  # some systems keep no such account
        assert "others had the core for" in found.reason
