"""`measure` on a machine whose clock and disturbances the test decides."""

import fcntl
import gc
import json
import os
from collections.abc import Callable
from itertools import cycle, pairwise, repeat
from pathlib import Path
from typing import Any

import pytest

from reid.errors import ConfigError
from reid.timing import DeviceLock, calibration_kernel_ms, kernel, measure, queue
from reid.timing.queue import MAX_QUEUED
from reid.timing.sampling import MAX_KERNEL_DRIFT, MAX_SPREAD


class Machine:
    """A clock that only work moves; `kernels` are what the calibration kernel says, one after the other."""

    def __init__(self, kernels: Any = None) -> None:
        self.now_ns = 0
        self.queued_ms = 0.0
        self.kernels = iter(kernels or repeat(3.0))

    def clock(self) -> int:
        return self.now_ns

    def work(self, *durations_ms: float) -> Callable[[], None]:
        turn = cycle(durations_ms)

        def run() -> None:
            self.now_ns += round(next(turn) * 1e6)

        return run

    def measure(self, run: Callable[[], None], lock: DeviceLock, **options: Any) -> Any:
        options = {"clock": self.clock, "queued": lambda: self.queued_ms} | options
        return measure(run, lock=lock, kernel=lambda: next(self.kernels), **options)


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceLock:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return DeviceLock("cpu", folder=tmp_path)


def test_a_quiet_machine_is_trusted_at_once(lock: DeviceLock) -> None:
    machine = Machine()
    found = machine.measure(machine.work(20.0), lock, kernel_ms_at_start=3.0)
    assert (found.latency_ms, found.p10_ms, found.p90_ms) == (20, 20, 20)
    assert (found.trusted, found.reason, found.attempts, found.kernel_drift) == (True, "", 1, 0)
    assert len(found.samples_ms) == 75
    assert found.ratio is found.reference_ms is None


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores to tell them apart")
@pytest.mark.parametrize(("threads", "bound"), [(1, None), (2, None), (2, True)])
def test_the_kernel_runs_on_the_core_that_it_ran_on_at_the_start(
    threads: int, bound: bool | None, lock: DeviceLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cores may differ in speed; the inference itself has all that it may use."""
    allowed = os.sched_getaffinity(0)
    affinity = sorted(allowed)[:2] if bound else None
    last = {affinity[-1] if affinity else max(allowed)}
    seen: list[set[int]] = []

    def kernel_ms() -> float:
        seen.append(os.sched_getaffinity(0))
        return 3.0

    monkeypatch.setattr(kernel, "kernel_ms", kernel_ms)
    at_start = calibration_kernel_ms(lock, affinity)
    where: list[set[int]] = []
    machine = Machine()
    work = machine.work(20.0)

    def run() -> None:
        where.append(os.sched_getaffinity(0))
        work()

    found = measure(
        run, lock=lock, kernel=kernel_ms, clock=machine.clock, queued=lambda: 0.0, threads=threads,
        affinity=affinity, kernel_ms_at_start=at_start,
    )  # fmt: skip
    assert found.trusted
    assert all(cores == last for cores in seen)
    assert where[0] == (last if threads == 1 else set(affinity) if affinity else allowed)
    assert os.sched_getaffinity(0) == allowed


def test_median_and_percentiles_are_those_of_the_samples(lock: DeviceLock) -> None:
    machine = Machine()
    found = machine.measure(machine.work(*[10 + k / 10 for k in range(10)]), lock)
    samples = sorted(found.samples_ms)
    assert len(samples) == 145
    assert found.latency_ms == pytest.approx(samples[72])
    assert found.p10_ms == pytest.approx(10.1, abs=0.1)
    assert found.p90_ms == pytest.approx(10.8, abs=0.1)


def test_m3_a_bursty_load_is_not_trusted(lock: DeviceLock) -> None:
    """docs/faults.md, row M3: every fourth inference waits; three attempts, then it is said."""
    machine = Machine()
    found = machine.measure(machine.work(10.0, 10.0, 10.0, 26.0), lock, kernel_ms_at_start=3.0)
    assert (found.trusted, found.attempts) == (False, 3)
    assert "the samples spread too far (p90 is 2.60 times the median)" in found.reason
    assert found.p90_ms / found.latency_ms > MAX_SPREAD


def test_m3_a_steady_load_is_caught_by_the_kernel(lock: DeviceLock) -> None:
    """docs/faults.md, row M3: all samples alike, and all wrong."""
    machine = Machine(kernels=repeat(4.5))
    found = machine.measure(machine.work(24.7), lock, kernel_ms_at_start=3.0)
    assert (found.trusted, found.attempts) == (False, 3)
    assert found.reason == "the machine became 50% slower since the start (calibration kernel)"
    assert found.kernel_drift == pytest.approx(0.5)


def test_m3_a_load_that_the_kernel_misses_is_seen_by_the_queue(lock: DeviceLock) -> None:
    """Trainers that take turns on the core: the kernel runs in its own turn, as fast as ever."""
    machine = Machine()

    def run() -> None:
        machine.now_ns += 10_000_000
        machine.queued_ms += 10 * shares[0]

    shares = [1.2 * MAX_QUEUED]
    found = machine.measure(run, lock, kernel_ms_at_start=3.0)
    assert (found.trusted, found.attempts) == (False, 3)
    assert found.reason == "others had the core for 6% of the time"
    assert found.queued == pytest.approx(0.06)
    shares = [0.8 * MAX_QUEUED]
    assert machine.measure(run, lock, kernel_ms_at_start=3.0).trusted


def test_a_machine_faster_than_the_study_knows_it_is_not_comparable_either(lock: DeviceLock) -> None:
    machine = Machine(kernels=repeat(2.7))
    found = machine.measure(machine.work(10.0), lock, kernel_ms_at_start=3.0)
    assert not found.trusted
    assert found.kernel_drift == pytest.approx(-0.1)
    assert "10% faster" in found.reason


def test_without_a_start_value_a_change_while_timing_counts(lock: DeviceLock) -> None:
    machine = Machine(kernels=cycle([3.0, 3.0 * (1 + 1.2 * MAX_KERNEL_DRIFT)]))
    found = machine.measure(machine.work(10.0), lock)
    assert not found.trusted
    assert "slower while timing" in found.reason
    assert found.kernel_ms == (3.0, pytest.approx(3.18))


def test_a_passing_disturbance_costs_an_attempt_and_nothing_else(lock: DeviceLock) -> None:
    machine = Machine(kernels=[4.0, 3.0, 3.05, 2.95])
    found = machine.measure(machine.work(10.0), lock, kernel_ms_at_start=3.0)
    assert (found.trusted, found.attempts, found.reason) == (True, 2, "")
    assert abs(found.kernel_drift) == pytest.approx(0.05 / 3)


def test_the_least_disturbed_of_three_is_reported(lock: DeviceLock) -> None:
    machine = Machine(kernels=repeat(4.0))
    durations = iter([30.0] * 60 + [12.0] * 60 + [25.0] * 1000)

    def run() -> None:
        machine.now_ns += round(next(durations) * 1e6)

    found = machine.measure(run, lock, kernel_ms_at_start=3.0)
    assert (found.latency_ms, found.attempts, found.trusted) == (12, 3, False)


def test_m2_the_lock_is_held_while_timing_and_free_between_attempts(
    lock: DeviceLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(kernels=repeat(4.0))
    states: list[str] = []
    work = machine.work(10.0)

    def run() -> None:
        with pytest.raises(BlockingIOError):
            try_exclusive(lock.path)
        work()

    def pause(seconds: float) -> None:
        try_exclusive(lock.path)
        states.append("free")

    monkeypatch.setattr("time.sleep", pause)
    machine.measure(run, lock, kernel_ms_at_start=3.0)
    assert states == ["free", "free"]


def try_exclusive(path: Path) -> None:
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_reference_is_timed_in_turns_and_first_runs_of_a_turn_do_not_count(lock: DeviceLock) -> None:
    """Each switch costs 9 ms of cold caches, of which no sample may show anything."""
    machine = Machine()
    order: list[str] = []

    def work(name: str, cost_ms: float) -> Callable[[], None]:
        def run() -> None:
            cold = 9.0 if order and order[-1] != name else 0.0
            order.append(name)
            machine.now_ns += round((cost_ms + cold) * 1e6)

        return run

    found = machine.measure(work("own", 10.0), lock, reference=work("other", 40.0))
    assert set(found.samples_ms) == {10.0}
    assert (found.reference_ms, found.ratio) == (40, 0.25)
    turns = sum(a != b for a, b in pairwise(order))
    assert turns >= 2 * len(found.samples_ms) / 5


def test_warm_up_lasts_until_it_is_stable(lock: DeviceLock) -> None:
    machine = Machine()
    count = 0

    def run() -> None:
        nonlocal count
        count += 1
        machine.now_ns += round((10 + 40 * 0.8**count) * 1e6)

    assert machine.measure(run, lock).latency_ms == pytest.approx(10, rel=0.02)


def test_warm_up_and_sampling_end_on_a_machine_that_never_settles(lock: DeviceLock) -> None:
    machine = Machine()
    found = machine.measure(machine.work(*[600 * 1.1**k for k in range(30)]), lock)
    assert len(found.samples_ms) <= 20
    assert machine.now_ns < found.attempts * 90e9


@pytest.mark.parametrize(("duration_ms", "samples"), [(0.1, 2000), (1.0, 1500), (20.0, 75), (500.0, 20)])
def test_samples_go_by_time_and_by_number(duration_ms: float, samples: int, lock: DeviceLock) -> None:
    machine = Machine()
    found = machine.measure(machine.work(duration_ms), lock)
    assert samples <= len(found.samples_ms) < samples + 10


def test_affinity_and_garbage_collection_are_restored(lock: DeviceLock) -> None:
    machine, allowed = Machine(), os.sched_getaffinity(0)
    seen: list[tuple[int, bool]] = []
    work = machine.work(50.0)

    def run() -> None:
        seen.append((len(os.sched_getaffinity(0)), gc.isenabled()))
        work()
        if len(seen) > 60:
            raise RuntimeError("the inference failed")

    machine.measure(run, lock, runs=5)
    assert set(seen) == {(1, False)}
    seen.clear()
    machine.measure(run, lock, runs=5, threads=2)
    assert set(seen) == {(len(allowed), False)}
    seen.clear()
    machine.measure(run, lock, runs=5, threads=2, affinity=[min(allowed)])
    assert set(seen) == {(1, False)}
    with pytest.raises(RuntimeError, match="the inference failed"):
        machine.measure(run, lock, runs=200)
    assert os.sched_getaffinity(0) == allowed
    assert gc.isenabled()


@pytest.mark.parametrize("option", ["runs", "threads"])
def test_options_below_one_are_refused(option: str, lock: DeviceLock) -> None:
    with pytest.raises(ConfigError, match=option):
        measure(lambda: None, lock=lock, **{option: 0})


def test_to_dict_is_plain_json_of_every_figure(lock: DeviceLock) -> None:
    machine = Machine()
    found = machine.measure(machine.work(10.0), lock, reference=machine.work(20.0))
    plain = found.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["ratio"] == 0.5
    assert plain["samples_ms"] == list(found.samples_ms)
    assert set(plain) == set(type(found).__slots__)


def test_the_kernel_is_timed_alone_on_the_device(lock: DeviceLock, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([3.2, 3.0, 3.1, 3.05, 2.9, 3.3, 3.1, 3.1, 9.0, 3.0, 3.1])

    def fake() -> float:
        with pytest.raises(BlockingIOError):
            try_exclusive(lock.path)
        assert len(os.sched_getaffinity(0)) == 1
        return next(values)

    monkeypatch.setattr(kernel, "kernel_ms", fake)
    monkeypatch.setattr(kernel, "_PAUSE_S", 0.0)
    assert calibration_kernel_ms(lock) == 3.1, "the usual speed, whatever one disturbance did"


def test_the_kernel_at_the_start_is_taken_again_where_others_had_the_core(
    lock: DeviceLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([4.0] * 11 + [3.0] * 11)
    queued = iter([0.0, 500.0, 500.0, 500.0])
    monkeypatch.setattr(kernel, "kernel_ms", lambda: next(values))
    monkeypatch.setattr(kernel, "_PAUSE_S", 0.0)
    monkeypatch.setattr(kernel, "queued_ms", lambda: next(queued))
    assert calibration_kernel_ms(lock) == 3.0


@pytest.mark.parametrize("account", ["", "0", "a b c", None])
def test_an_account_that_cannot_be_read_counts_nothing(
    account: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "schedstat"
    if account is not None:
        path.write_text(account)
    monkeypatch.setattr(queue, "_ACCOUNT", path)
    assert queue.queued_ms() == 0


def test_the_account_is_that_of_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "schedstat").write_text("517881126 31586000 5\n")
    monkeypatch.setattr(queue, "_ACCOUNT", tmp_path / "schedstat")
    assert queue.queued_ms() == pytest.approx(31.586)


def test_the_real_kernel_takes_milliseconds() -> None:
    assert 0.5 < kernel.kernel_ms() < 500
