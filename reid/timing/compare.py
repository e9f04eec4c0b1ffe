"""Latencies of several inferences, taken in turns so that whatever disturbs one disturbs all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.errors import ConfigError
from reid.timing.kernel import kernel_ms
from reid.timing.lock import DeviceLock
from reid.timing.queue import MAX_QUEUED, queued_ms
from reid.timing.sampling import MOST_ATTEMPTS, block, doubts, pause, steady, undisturbed, warm_up

__all__ = ["Comparison", "compare"]

_MOST_ROUNDS = 400
_LONGEST_SAMPLING_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Several inferences timed in turns on one device that was held alone.

    Attributes:
        samples_ms: (N, R, B) float64, milliseconds: inference, round, sample of the block; read-only.
        trusted: whether the spread of each, the kernel's drift and the queue of the core stayed within bounds.
        reason: why it is not trusted, in words; empty when it is.
        kernel_drift: signed relative difference of the calibration kernel over the samples.
        kernel_ms: the calibration kernel before and after the samples.
        attempts: how often it was timed, from 1.
        waited_s: how long the attempts waited for the device, together, in seconds.
        queued: share of the time meanwhile for which others had the core.
    """

    samples_ms: NDArray[np.float64]
    trusted: bool
    reason: str
    kernel_drift: float
    kernel_ms: tuple[float, float]
    attempts: int
    waited_s: float
    queued: float = 0.0

    @property
    def medians_ms(self) -> NDArray[np.float64]:
        """(N,) median of all samples of each inference."""
        found: NDArray[np.float64] = np.median(self.samples_ms, axis=(1, 2))
        return found

    @property
    def rounds_ms(self) -> NDArray[np.float64]:
        """(N, R) median of each block; the blocks of one round were taken one after the other, so they pair."""
        found: NDArray[np.float64] = np.median(self.samples_ms, axis=2)
        return found

    def doubts_of(self, index: int, kernel_ms_at_start: float | None = None) -> str:
        """Why the figures of one inference are not to be believed, in words; empty when they are.

        Args:
            index: of the inference.
            kernel_ms_at_start: the calibration kernel's time that counts in place of that before the samples.
        """
        samples = [self.samples_ms[index].ravel().tolist()]
        return doubts(samples, self.kernel_ms, kernel_ms_at_start, self.queued)[1]


def compare(
    runs: Sequence[Callable[[], None]],
    *,
    lock: DeviceLock,
    rounds: int = 30,
    seconds: float = 1.5,
    threads: int = 1,
    affinity: Sequence[int] | None = None,
    clock: Callable[[], int] = time.perf_counter_ns,
    kernel: Callable[[], float] = kernel_ms,
    queued: Callable[[], float] = queued_ms,
) -> Comparison:
    """Time `runs` in turns, a block of each in every round, with the device to themselves.

    Every second round goes backwards, so that a machine that slows down steadily slows all alike, and every pair of
    rounds begins with another run, so that each has every place in turn. Where the samples look disturbed they are
    taken again, three times at most.

    Args:
        runs: whole inferences, at least one.
        lock: of the device; held exclusively by each attempt.
        rounds: least number of rounds, >= 1 (fewer where they would take more than 10 s for each run).
        seconds: least time of the samples, for each run (less where 400 rounds are enough).
        threads: of the inferences; with 1, the calling thread stays on one core.
        affinity: cores that they are bound to, where they are.
        clock: monotonic nanoseconds.
        kernel: gives the time of the calibration kernel now, in milliseconds.
        queued: milliseconds so far for which this thread stood ready while others had its core.

    Returns:
        The first trusted attempt, else one marked untrusted with the reason: that with the least kernel drift of
        those without others on the core, or of all where there is none.

    Raises:
        ConfigError: nothing to time, `rounds` or `threads` below 1, or the calling thread holds the lock shared.
    """
    if not runs or rounds < 1 or threads < 1:
        raise ConfigError(
            f"a comparison needs at least one run, round and thread, got {len(runs)}, {rounds} and {threads}"
        )
    attempts: list[Comparison] = []
    waited_ns = 0
    while not attempts or (not attempts[-1].trusted and len(attempts) < MOST_ATTEMPTS):
        if attempts:
            pause()
        asked = clock()
        with lock.exclusive(), undisturbed(threads, affinity):
            waited_ns += clock() - asked
            before = steady(kernel, affinity)
            samples, share = _sample(runs, rounds, seconds, clock, queued)
            attempts.append(
                _judge(samples, share, (before, steady(kernel, affinity)), len(attempts) + 1, waited_ns / 1e9)
            )
    if attempts[-1].trusted:
        return attempts[-1]
    return min(attempts, key=lambda one: (one.queued > MAX_QUEUED, abs(one.kernel_drift)))


def _sample(
    runs: Sequence[Callable[[], None]],
    rounds: int,
    seconds: float,
    clock: Callable[[], int],
    queued: Callable[[], float],
) -> tuple[NDArray[np.float64], float]:
    """(N, R, B) milliseconds, and the share of the time meanwhile for which others had the core."""
    for run in runs:
        warm_up(run, clock)
    taken: list[list[list[float]]] = []
    start, queued_before_ms = clock(), queued()
    while not _enough(len(taken), (clock() - start) / 1e9 / len(runs), rounds, seconds):
        found: dict[int, list[float]] = {}
        for index in _order(len(runs), len(taken)):
            # The first run after another's finds the caches full of that one's weights; it is not counted.
            runs[index]()
            found[index] = block(runs[index], clock)
        taken.append([found[index] for index in range(len(runs))])
    samples = np.array(taken, dtype=np.float64).transpose(1, 0, 2)
    samples.setflags(write=False)
    return samples, (queued() - queued_before_ms) / ((clock() - start) / 1e6)


def _order(runs: int, round_: int) -> list[int]:
    """Who comes when in a round: each pair of rounds goes forth and back, and begins one further on."""
    pair, back = divmod(round_, 2)
    order = [(place + pair) % runs for place in range(runs)]
    return order[::-1] if back else order


def _enough(rounds_taken: int, spent_s: float, rounds: int, seconds: float) -> bool:
    if rounds_taken and (spent_s >= _LONGEST_SAMPLING_S or rounds_taken >= max(rounds, _MOST_ROUNDS)):
        return True
    return rounds_taken >= rounds and spent_s >= seconds


def _judge(
    samples: NDArray[np.float64],
    queued: float,
    kernels: tuple[float, float],
    attempts: int,
    waited_s: float,
) -> Comparison:
    drift, reason = doubts(samples.reshape(len(samples), -1).tolist(), kernels, None, queued)
    return Comparison(
        samples_ms=samples,
        trusted=not reason,
        reason=reason,
        kernel_drift=drift,
        kernel_ms=kernels,
        attempts=attempts,
        waited_s=waited_s,
        queued=queued,
    )
