"""A fixed piece of work that tells whether the machine is still as fast as it was.

A steady foreign load slows every run alike: the spread of the samples stays small and only work whose time is
known can give it away. The work is half arithmetic in the nearest caches and half reading of what lies beyond
them, as an inference is, and in plain NumPy loops: no BLAS, whose threads could hide a load.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from statistics import median

import numpy as np

from reid.timing.lock import DeviceLock
from reid.timing.queue import MAX_QUEUED, queued_ms

__all__ = ["calibration_kernel_ms", "kernel_ms", "pinned"]

_GROUPS = 9
# One group lasts longer than a time slice of the scheduler, so that sharing a core shows in every group.
_RUNS_PER_GROUP = 4

_VALUES_AT_START = 11
_PAUSE_S = 0.15
_MOST_STARTS = 3


def calibration_kernel_ms(lock: DeviceLock, affinity: Sequence[int] | None = None) -> float:
    """Time of the calibration kernel on an idle device, to be taken at the start of a study.

    Args:
        lock: of the device; held exclusively meanwhile, for about three seconds.
        affinity: cores of the target, where it names some; they may differ in speed from others.

    Returns:
        Milliseconds: the median of values of `kernel_ms` spread over some seconds. A shared machine wanders by
        several percent within seconds; its usual speed is what later timings are compared with, not its best.
        Where others had the core meanwhile, all of it is done again, three times at most.
    """
    with lock.exclusive(), pinned(sorted(affinity or ())[-1:]):
        for _ in range(_MOST_STARTS):
            start, queued_before_ms = time.perf_counter(), queued_ms()
            found = median(_spaced(kernel_ms, _VALUES_AT_START, _PAUSE_S))
            worked_ms = (time.perf_counter() - start - _VALUES_AT_START * _PAUSE_S) * 1e3
            if queued_ms() - queued_before_ms <= MAX_QUEUED * worked_ms:
                break
    return found


def kernel_ms() -> float:
    """Milliseconds of one run of the kernel now, median of several groups of runs; about a tenth of a second."""
    run = _kernel()
    run()
    return median(_group_ms(run) for _ in range(_GROUPS))


@contextmanager
def pinned(cores: Collection[int] = ()) -> Iterator[None]:
    """Keep this thread on `cores`, or on the last core that it may use (the first serves most interrupts)."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores) or {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _spaced(value: Callable[[], float], count: int, pause_s: float) -> Iterator[float]:
    for _ in range(count):
        yield value()
        time.sleep(pause_s)


def _group_ms(run: Callable[[], None]) -> float:
    start = time.perf_counter_ns()
    for _ in range(_RUNS_PER_GROUP):
        run()
    return (time.perf_counter_ns() - start) / _RUNS_PER_GROUP / 1e6


@cache
def _kernel() -> Callable[[], None]:
    random = np.random.default_rng(0)
    left, right = random.standard_normal((2, 96, 96), dtype=np.float32)
    product = np.empty_like(left)
    beyond_caches = random.standard_normal(2**21, dtype=np.float32)

    def run() -> None:
        for _ in range(15):
            np.einsum("ij,jk->ik", left, right, out=product)
        for _ in range(4):
            beyond_caches.sum()

    return run
