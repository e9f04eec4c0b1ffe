"""Latency of an inference, measured alone and doubted by rule."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reid.errors import ConfigError
from reid.timing.kernel import kernel_ms
from reid.timing.latency import Latency
from reid.timing.lock import DeviceLock
from reid.timing.queue import queued_ms
from reid.timing.sampling import MOST_ATTEMPTS, block, doubts, pause, steady, undisturbed, warm_up

__all__ = ["measure"]

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
    affinity: Sequence[int] | None = None,
    clock: Callable[[], int] = time.perf_counter_ns,
    kernel: Callable[[], float] = kernel_ms,
    queued: Callable[[], float] = queued_ms,
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
        affinity: cores that `run` is bound to, where it is.
        clock: monotonic nanoseconds.
        kernel: gives the time of the calibration kernel now, in milliseconds.
        queued: milliseconds so far for which this thread stood ready while others had its core.

    Returns:
        The first trusted attempt, else that with the least median, marked untrusted with the reason.

    Raises:
        ConfigError: `runs` or `threads` below 1, or the calling thread holds the lock shared.
    """
    if runs < 1 or threads < 1:
        raise ConfigError(f"runs and threads of a timing must be at least 1, got {runs} and {threads}")
    attempts: list[_Attempt] = []
    waited_ns = 0
    while not attempts or (attempts[-1].reason and len(attempts) < MOST_ATTEMPTS):
        if attempts:
            pause()
        asked = clock()
        with lock.exclusive(), undisturbed(threads, affinity):
            waited_ns += clock() - asked
            before = steady(kernel, affinity)
            taken = _sample(run, reference, runs, seconds, clock, queued)
            attempts.append(_judge(taken, (before, steady(kernel, affinity)), kernel_ms_at_start))
    best = attempts[-1] if not attempts[-1].reason else min(attempts, key=lambda one: one.median_ms)
    return best.latency(len(attempts), waited_ns / 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    samples_ms: tuple[float, ...]
    others_ms: tuple[float, ...]
    kernel_ms: tuple[float, float]
    kernel_drift: float
    queued: float
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
            queued=self.queued,
            attempts=attempts,
            waited_s=waited_s,
            ratio=None if reference_ms is None else self.median_ms / reference_ms,
            reference_ms=reference_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Samples:
    own_ms: tuple[float, ...]
    others_ms: tuple[float, ...]
    queued: float


def _judge(taken: _Samples, kernels: tuple[float, float], at_start: float | None) -> _Attempt:
    drift, reason = doubts([taken.own_ms], kernels, at_start, taken.queued)
    return _Attempt(
        samples_ms=taken.own_ms,
        others_ms=taken.others_ms,
        kernel_ms=kernels,
        kernel_drift=drift,
        queued=taken.queued,
        reason=reason,
    )


def _sample(
    run: Callable[[], None],
    reference: Callable[[], None] | None,
    runs: int,
    seconds: float,
    clock: Callable[[], int],
    queued: Callable[[], float],
) -> _Samples:
    """Milliseconds of `run` and of `reference`, in turns of a block each."""
    own: list[float] = []
    other: list[float] = []
    warm_up(run, clock)
    if reference is not None:
        warm_up(reference, clock)
    started, queued_before_ms = clock(), queued()
    while not _enough(own, sum(own) + sum(other), runs, seconds):
        if reference is not None:
            # The first run after the other's finds the caches full of the other's weights; it is not counted.
            reference()
            other += block(reference, clock)
            run()
        own += block(run, clock)
    share = (queued() - queued_before_ms) / ((clock() - started) / 1e6)
    return _Samples(own_ms=tuple(own), others_ms=tuple(other), queued=share)


def _enough(samples: list[float], spent_ms: float, runs: int, seconds: float) -> bool:
    spent_s = spent_ms / 1e3
    if spent_s >= _LONGEST_SAMPLING_S or len(samples) >= max(runs, _MOST_SAMPLES):
        return True
    return len(samples) >= runs and spent_s >= seconds
