"""What every timing is made of: blocks of samples, a warm-up, an undisturbed thread, doubts by rule."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np

from reid.timing.kernel import pinned
from reid.timing.queue import MAX_QUEUED

__all__ = [
    "MAX_KERNEL_DRIFT",
    "MAX_SPREAD",
    "MOST_ATTEMPTS",
    "block",
    "doubts",
    "pause",
    "steady",
    "undisturbed",
    "warm_up",
]

MAX_SPREAD = 1.25
"""Largest p90 / median of trusted samples; bursts of foreign load exceed it."""

MAX_KERNEL_DRIFT = 0.05
"""Largest relative drift of the calibration kernel; a steady foreign load exceeds it."""

MOST_ATTEMPTS = 3
"""How often a timing is tried before its figures are given as untrusted."""

_PAUSE_S = 0.2
_BLOCK = 5
_WARM_AGREEMENT = 0.02
_LONGEST_WARM_UP_S = 2.0


def block(run: Callable[[], None], clock: Callable[[], int]) -> list[float]:
    """Milliseconds of a few runs in succession."""
    samples = []
    for _ in range(_BLOCK):
        start = clock()
        run()
        samples.append((clock() - start) / 1e6)
    return samples


def warm_up(run: Callable[[], None], clock: Callable[[], int]) -> None:
    """Run until the medians of two blocks in succession agree, or long enough."""
    start = clock()
    last = float(np.median(block(run, clock)))
    while clock() - start < _LONGEST_WARM_UP_S * 1e9:
        now = float(np.median(block(run, clock)))
        if abs(now - last) <= _WARM_AGREEMENT * last:
            return
        last = now


def pause() -> None:
    """Wait before the next attempt, so that a burst of foreign load can pass."""
    time.sleep(_PAUSE_S)


@contextmanager
def undisturbed(threads: int, affinity: Sequence[int] | None) -> Iterator[None]:
    """Without garbage collection, on one core with one thread, and on no cores but those of `affinity`, if any."""
    cores = sorted(affinity or ())
    collecting = gc.isenabled()
    gc.disable()
    try:
        with pinned(cores if threads > 1 else cores[-1:]) if cores or threads == 1 else nullcontext():
            yield
    finally:
        if collecting:
            gc.enable()


def steady(kernel: Callable[[], float], affinity: Sequence[int] | None) -> float:
    """The calibration kernel on the core that it ran on when the study began: cores may differ in speed."""
    with pinned(sorted(affinity or ())[-1:]):
        return kernel()


def doubts(
    samples: Sequence[Sequence[float]],
    kernels: tuple[float, float],
    kernel_ms_at_start: float | None,
    queued: float,
) -> tuple[float, str]:
    """What speaks against believing samples that were taken in one attempt.

    Args:
        samples: milliseconds, one sequence for each inference that was timed.
        kernels: milliseconds of the calibration kernel before and after the samples.
        kernel_ms_at_start: that when the study began; without it, that before the samples is the measure.
        queued: share of the time while they were taken for which others had the core.

    Returns:
        The signed relative drift of the kernel, of larger size, and the reasons in words, empty where none.
    """
    spread = max(float(np.percentile(row, 90) / np.median(row)) for row in samples)
    drift = max((value / (kernel_ms_at_start or kernels[0]) - 1 for value in kernels), key=abs)
    reasons = []
    if abs(drift) > MAX_KERNEL_DRIFT:
        since = "since the start" if kernel_ms_at_start else "while timing"
        word = "slower" if drift > 0 else "faster"
        reasons.append(f"the machine became {abs(drift):.0%} {word} {since} (calibration kernel)")
    if queued > MAX_QUEUED:
        reasons.append(f"others had the core for {queued:.0%} of the time")
    if spread > MAX_SPREAD:
        reasons.append(f"the samples spread too far (p90 is {spread:.2f} times the median)")
    return drift, "; ".join(reasons)
