"""Latency of an inference, measured alone and doubted by rule."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from reid.errors import ConfigError
from reid.timing.kernel import kernel_ms, pinned
from reid.timing.latency import Latency
from reid.timing.lock import DeviceLock

__all__ = ["MAX_KERNEL_DRIFT", "MAX_SPREAD", "measure"]

MAX_SPREAD = 1.25
"""Largest p90 / median of trusted samples; bursts of foreign load exceed it."""

MAX_KERNEL_DRIFT = 0.05
"""Largest relative drift of the calibration kernel; a steady foreign load exceeds it."""

_MOST_ATTEMPTS = 3
_PAUSE_S = 0.2
_BLOCK = 5
_WARM_AGREEMENT = 0.02
_LONGEST_WARM_UP_S = 2.0
_MOST_SAMPLES = 2000
_LONGEST_SAMPLING_S = 10.0


def measure(
    run: Callable[[], None],
    *,
    lock: DeviceLock,
    reference: Callable[[], None] | None = None,
    kernel_ms_at_start: float | None = None,
    runs: int = 50,
    seconds: float = 1.5,
    threads: int = 1,
    clock: Callable[[], int] = time.perf_counter_ns,
    kernel: Callable[[], float] = kernel_ms,
) -> Latency:
    """Time `run` with the device to itself; where the samples look disturbed, again, three times at most.

    The device is held for one attempt at a time, so that the steps of others go on in between.

    Args:
        run: one whole inference; returns when its result is there (on a GPU: after synchronising).
        lock: of the device that `run` uses; held exclusively by each attempt.
        reference: another inference to compare with, timed in turns with `run`.
        kernel_ms_at_start: from `calibration_kernel_ms` at the start of the study; without it the kernel before
            the samples is the measure for that after them.
        runs: least number of samples, >= 1 (fewer where they would take more than 10 s).
        seconds: least time that all samples take together, those of `reference` included (less where 2,000
            samples are enough).
        threads: of `run`; with 1, the calling thread stays on one core.
        clock: monotonic nanoseconds.
        kernel: gives the time of the calibration kernel now, in milliseconds.

    Returns:
        The first trusted attempt, else that with the least median, marked untrusted with the reason.

    Raises:
        ConfigError: `runs` or `threads` below 1, or the calling thread holds the lock shared.
    """
    if runs < 1 or threads < 1:
        raise ConfigError(f"runs and threads of a timing must be at least 1, got {runs} and {threads}")
    attempts: list[_Attempt] = []
    waited_ns = 0
    while not attempts or (attempts[-1].reason and len(attempts) < _MOST_ATTEMPTS):
        if attempts:
            time.sleep(_PAUSE_S)
        asked = clock()
        with lock.exclusive(), _undisturbed(pin=threads == 1):
            waited_ns += clock() - asked
            before = kernel()
            samples, others = _sample(run, reference, runs, seconds, clock)
            attempts.append(_judge(samples, others, (before, kernel()), kernel_ms_at_start))
    best = attempts[-1] if not attempts[-1].reason else min(attempts, key=lambda one: one.median_ms)
    return best.latency(len(attempts), waited_ns / 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    samples_ms: tuple[float, ...]
    others_ms: tuple[float, ...]
    kernel_ms: tuple[float, float]
    kernel_drift: float
    reason: str

    @property
    def median_ms(self) -> float:
        return float(np.median(self.samples_ms))

    def latency(self, attempts: int, waited_s: float) -> Latency:
        p10, p90 = np.percentile(self.samples_ms, (10, 90))
        reference_ms = float(np.median(self.others_ms)) if self.others_ms else None
        return Latency(
            latency_ms=self.median_ms,
            p10_ms=float(p10),
            p90_ms=float(p90),
            samples_ms=self.samples_ms,
            trusted=not self.reason,
            reason=self.reason,
            kernel_drift=self.kernel_drift,
            kernel_ms=self.kernel_ms,
            attempts=attempts,
            waited_s=waited_s,
            ratio=None if reference_ms is None else self.median_ms / reference_ms,
            reference_ms=reference_ms,
        )


def _judge(
    samples: list[float], others: list[float], kernels: tuple[float, float], at_start: float | None
) -> _Attempt:
    spread = float(np.percentile(samples, 90) / np.median(samples))
    drift = max((value / (at_start or kernels[0]) - 1 for value in kernels), key=abs)
    reasons = []
    if abs(drift) > MAX_KERNEL_DRIFT:
        since = "since the study started" if at_start else "while timing"
        word = "slower" if drift > 0 else "faster"
        reasons.append(f"the machine became {abs(drift):.0%} {word} {since} (calibration kernel)")
    if spread > MAX_SPREAD:
        reasons.append(f"the samples spread too far (p90 is {spread:.2f} times the median)")
    return _Attempt(
        samples_ms=tuple(samples),
        others_ms=tuple(others),
        kernel_ms=kernels,
        kernel_drift=drift,
        reason="; ".join(reasons),
    )


def _sample(
    run: Callable[[], None],
    reference: Callable[[], None] | None,
    runs: int,
    seconds: float,
    clock: Callable[[], int],
) -> tuple[list[float], list[float]]:
    """Milliseconds of `run` and of `reference`, in turns of a block each."""
    own: list[float] = []
    other: list[float] = []
    _warm_up(run, clock)
    if reference is not None:
        _warm_up(reference, clock)
    while not _enough(own, sum(own) + sum(other), runs, seconds):
        if reference is not None:
            # The first run after the other's finds the caches full of the other's weights; it is not counted.
            reference()
            other += _block(reference, clock)
            run()
        own += _block(run, clock)
    return own, other


def _enough(samples: list[float], spent_ms: float, runs: int, seconds: float) -> bool:
    spent_s = spent_ms / 1e3
    if spent_s >= _LONGEST_SAMPLING_S or len(samples) >= max(runs, _MOST_SAMPLES):
        return True
    return len(samples) >= runs and spent_s >= seconds


def _warm_up(run: Callable[[], None], clock: Callable[[], int]) -> None:
    """Run until the medians of two blocks in succession agree, or long enough."""
    start = clock()
    last = float(np.median(_block(run, clock)))
    while clock() - start < _LONGEST_WARM_UP_S * 1e9:
        now = float(np.median(_block(run, clock)))
        if abs(now - last) <= _WARM_AGREEMENT * last:
            return
        last = now


def _block(run: Callable[[], None], clock: Callable[[], int]) -> list[float]:
    samples = []
    for _ in range(_BLOCK):
        start = clock()
        run()
        samples.append((clock() - start) / 1e6)
    return samples


@contextmanager
def _undisturbed(*, pin: bool) -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        with pinned() if pin else nullcontext():
            yield
    finally:
        if collecting:
            gc.enable()
