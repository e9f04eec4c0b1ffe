"""A runtime that computes on chosen cores only, for processors whose cores differ and machines shared by cores."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.errors import NoDevice
from reid.export.spec import InputSpec
from reid.runtime.base import Runtime

__all__ = ["Pinned", "demand_cores", "pinned"]


def demand_cores(cores: Sequence[int]) -> None:
    """Refuse cores that cannot be used.

    Raises:
        NoDevice: this process may not use one of them, or the system cannot bind threads to cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise NoDevice("target.affinity: this system cannot bind a thread to cores; leave it out")
    usable = os.sched_getaffinity(0)
    if absent := sorted(set(cores) - usable):
        raise NoDevice(
            f"target.affinity {list(cores)}: core {absent[0]} cannot be used here, only {_ranges(sorted(usable))}"
        )


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Let this thread, and the threads that it starts, run on `cores` only for a `with` block.

    A thread that a timing keeps on one of them stays there.
    """
    before = os.sched_getaffinity(0)
    if not before <= set(cores):
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Pinned:
    """A runtime that is opened, and run, on chosen cores.

    Args:
        open_it: opens the artifact; threads that it starts stay on the cores.
        cores: numbers as the system counts them.

    Raises:
        NoDevice: as in `demand_cores`.
    """

    def __init__(self, open_it: Callable[[], Runtime], cores: Sequence[int]) -> None:
        self._cores = tuple(cores)
        demand_cores(self._cores)
        with pinned(self._cores):
            self._runtime = open_it()

    @property
    def spec(self) -> InputSpec:
        """What the artifact expects of an image."""
        return self._runtime.spec

    @property
    def scheme(self) -> str:
        """Name of the artifact's quantization in `reid.quantize.SCHEMES`."""
        return self._runtime.scheme

    def embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Embeddings of decoded images, as `Runtime.embed` says."""
        with pinned(self._cores):
            return self._runtime.embed(images)

    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once; the calls of the system that bind it are timed too."""
        with pinned(self._cores):
            run = self._runtime.timer()

        def on_cores() -> None:
            with pinned(self._cores):
                run()

        return on_cores


def _ranges(numbers: Sequence[int]) -> str:
    """Sorted whole numbers in short, e.g. "0-3, 8"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, dict.fromkeys(run))) for run in runs)
