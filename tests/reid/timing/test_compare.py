"""`compare` on a machine whose clock and disturbances the test decides."""

from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.errors import ConfigError
from reid.timing import DeviceLock, compare


class Machine:
    """A clock that only work moves, and notes who worked."""

    def __init__(self, kernels: Any = None) -> None:
        self.now_ns = 0
        self.queued_ms = 0.0
        self.kernels = iter(kernels or repeat(3.0))
        self.worked: list[str] = []

    def run(self, name: str, milliseconds: Callable[[float], float]) -> Callable[[], None]:
        def run() -> None:
            self.worked.append(name)
            self.now_ns += round(milliseconds(self.now_ns / 1e9) * 1e6)

        return run

    def compare(self, runs: list[Callable[[], None]], lock: DeviceLock, **options: Any) -> Any:
        return compare(
            runs,
            lock=lock,
            clock=lambda: self.now_ns,
            kernel=lambda: next(self.kernels),
            queued=lambda: self.queued_ms,
            **options,
        )


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceLock:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return DeviceLock("cpu", folder=tmp_path)


def test_each_gets_a_block_in_every_round_and_the_order_turns(lock: DeviceLock) -> None:
    machine = Machine()
    runs = [machine.run(name, lambda _, ms=ms: ms) for name, ms in (("a", 4.0), ("b", 6.0), ("c", 5.0))]
    found = machine.compare(runs, lock, rounds=4, seconds=0.0)
    assert found.samples_ms.shape == (3, 4, 5)
    assert found.medians_ms.tolist() == [4, 6, 5]
    assert found.rounds_ms.tolist() == [[4] * 4, [6] * 4, [5] * 4]
    assert (found.trusted, found.reason, found.attempts) == (True, "", 1)
    turns = "".join(machine.worked)[-4 * 18 :]
    assert turns == "aaaaaabbbbbbcccccc" + "ccccccbbbbbbaaaaaa" + "bbbbbbccccccaaaaaa" + "aaaaaaccccccbbbbbb"
    assert not found.samples_ms.flags.writeable


def test_a_place_in_the_round_favours_none(lock: DeviceLock) -> None:
    """Whatever runs second in a round takes longer here, as after a network that left the caches in disorder."""
    machine = Machine()
    count = 0

    def run() -> None:
        nonlocal count
        in_round = (count - warm) % 18 // 6 if count >= warm else 0
        machine.now_ns += 6_000_000 if in_round == 1 else 5_000_000
        count += 1

    warm = 3 * 10  # two blocks of five warm each up
    found = machine.compare([run] * 3, lock, rounds=30, seconds=0.0)
    assert found.samples_ms.mean(axis=(1, 2)) == pytest.approx([16 / 3] * 3)


def test_a_machine_that_slows_down_steadily_slows_all_alike(lock: DeviceLock) -> None:
    machine = Machine()
    runs = [machine.run("x", lambda second: 5 * (1 + 0.1 * second)) for _ in range(3)]
    found = machine.compare(runs, lock, rounds=20, seconds=0.0)
    rounds = found.rounds_ms
    ratios = np.exp(np.log(rounds / rounds[0]).mean(axis=1))
    np.testing.assert_allclose(ratios, 1, atol=2e-4)


def test_it_lasts_as_long_as_asked_for_each(lock: DeviceLock) -> None:
    machine = Machine()
    runs = [machine.run("x", lambda _: 10.0) for _ in range(2)]
    assert machine.compare(runs, lock, rounds=3, seconds=1.2).samples_ms.shape[1] == 20
    assert machine.compare(runs, lock, rounds=10**6, seconds=10**6).samples_ms.shape[1] == 167
    quick = machine.run("q", lambda _: 0.001)
    assert machine.compare([quick], lock, rounds=3, seconds=10**6).samples_ms.shape[1] == 400


def test_disturbed_samples_are_taken_again(lock: DeviceLock) -> None:
    machine = Machine(kernels=[3.0, 3.3, 3.0, 3.0])
    found = machine.compare([machine.run("x", lambda _: 5.0)], lock, rounds=3, seconds=0.0)
    assert (found.trusted, found.attempts, found.kernel_drift) == (True, 2, 0)
    restless = Machine(kernels=[3.0, 3.6, 3.0, 3.3, 3.0, 3.9])
    found = restless.compare([restless.run("x", lambda _: 5.0)], lock, rounds=3, seconds=0.0)
    assert (found.trusted, found.attempts) == (False, 2)
    assert "10% slower while timing" in found.reason


def test_others_on_the_core_are_a_doubt_about_all(lock: DeviceLock) -> None:
    machine = Machine()

    def run() -> None:
        machine.now_ns += 4_000_000
        machine.queued_ms += 1

    found = machine.compare([run, run], lock, rounds=4, seconds=0.0)
    assert found.queued == pytest.approx(0.25)
    assert not found.trusted
    assert (
        found.reason == found.doubts_of(0) == found.doubts_of(1) == "others had the core for 25% of the time"
    )


def test_an_attempt_beside_others_is_not_the_one_that_counts(lock: DeviceLock) -> None:
    """The kernel is steadiest in the attempt in which others had the core; of the remaining two the steadier counts."""
    values = [3.0, 3.0, 3.0, 3.6, 3.0, 3.3]
    machine = Machine(kernels=(values.pop(0) for _ in range(6)))

    def run() -> None:
        machine.now_ns += 4_000_000
        machine.queued_ms += 1 if len(values) == 5 else 0

    found = machine.compare([run], lock, rounds=4, seconds=0.0)
    assert found.kernel_drift == pytest.approx(0.1)
    assert found.attempts == 3


def test_spread_of_any_one_is_a_doubt(lock: DeviceLock) -> None:
    machine = Machine()
    turn = iter(range(10**9))
    wild = machine.run("w", lambda _: 5.0 if next(turn) % 4 else 9.0)
    found = machine.compare([machine.run("x", lambda _: 5.0), wild], lock, rounds=8, seconds=0.0)
    assert not found.trusted
    assert "spread too far" in found.reason


@pytest.mark.parametrize("options", [{"rounds": 0}, {"threads": 0}])
def test_nonsense_is_refused(lock: DeviceLock, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        compare([lambda: None], lock=lock, **options)
    with pytest.raises(ConfigError, match="at least one run"):
        compare([], lock=lock)
