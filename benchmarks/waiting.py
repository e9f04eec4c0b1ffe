"""What timings cost the trainers beside them: the share of a study's seconds that its workers wait for the device lock.

python -m benchmarks.waiting [--trials 8] [--at-once 2]    writes results/waiting-<device>.json

A real search of the space `demo` on generated pedestrians, two trials beside each other. In each worker every
`DeviceLock.shared()` is timed from the call until it is entered, and every `exclusive()` until it is left; a lock
within another is part of the outer one. Whoever waits in `shared` waits for a timing that runs, or for one that waits
itself until the steps under way are over. Latencies that were taken before are not used.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from benchmarks.device import one_thread, write_result
from reid.timing import DeviceLock
from results import Study
from search.contact import Contact
from search.jobs import Job

CHECK = "waiting"
"""Name of a trial's sums among the checks of its record."""

_TOLD_S = 0.001  # a shorter wait is the system's, and not worth finding out who had it

Lock = Callable[[DeviceLock], AbstractContextManager[None]]


class _Thread(threading.local):
    within = False
    """Whether this thread is within a lock."""


class Account:
    """Seconds in which one trial waited for the lock and had it, by step of the pipeline; threads may share it."""

    def __init__(self) -> None:
        self._shared: list[tuple[str, float]] = []
        self._asked_alone: list[float] = []
        self._alone: list[tuple[str, float]] = []
        self._thread = _Thread()

    def shared(self, real: Lock) -> Lock:
        """`DeviceLock.shared`, measured."""

        def note(waited_s: float, held_s: float) -> None:
            self._shared.append((_step() if waited_s > _TOLD_S else "", waited_s))

        return self._measured(real, note)

    def exclusive(self, real: Lock) -> Lock:
        """`DeviceLock.exclusive`, measured."""

        def note(waited_s: float, held_s: float) -> None:
            self._asked_alone.append(waited_s)
            self._alone.append((_step(), held_s))

        return self._measured(real, note)

    def sums(self) -> dict[str, Any]:
        """What is written to the record; all in seconds but the counts."""
        waits = [seconds for _, seconds in self._shared]
        return {
            "waited_s": sum(waits),
            "longest_wait_s": max(waits, default=0.0),
            "steps": len(waits),
            "waited_by_step_s": _by_name(pair for pair in self._shared if pair[0]),
            "timings_waited_s": sum(self._asked_alone),
            "timings": len(self._alone),
            "alone_s": sum(seconds for _, seconds in self._alone),
            "alone_by_step_s": _by_name(self._alone),
        }

    def _measured(self, real: Lock, note: Callable[[float, float], None]) -> Lock:
        @contextmanager
        def hold(lock: DeviceLock) -> Iterator[None]:
            if self._thread.within:
                with real(lock):
                    yield
                return
            asked = time.perf_counter()
            with real(lock):
                entered = time.perf_counter()
                self._thread.within = True
                try:
                    yield
                finally:
                    self._thread.within = False
                    note(entered - asked, time.perf_counter() - entered)

        return hold


def _by_name(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for name, seconds in pairs:
        found[name] += seconds
    return dict(found)


def _step() -> str:
    """The pipeline's function within which the caller runs, e.g. "clock.time_artifact"; a step's, else the trial's."""
    steps, trial = [], []
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        room, _, module = frame.f_globals.get("__name__", "").rpartition(".")
        name = f"{module}.{frame.f_code.co_name}"
        if room == "reid.steps":
            steps.append(name)
        elif (room, module) == ("search", "trial"):
            trial.append(name)
        frame = frame.f_back
    return steps[-1] if steps else [*trial, "elsewhere"][0]


def measured(job: Job, contact: Contact) -> dict[str, Any]:
    """A trial that tells in its record's checks how long it waited for the lock."""
    from search.trial import run

    account, begun = Account(), time.perf_counter()
    with (
        patch.object(DeviceLock, "shared", account.shared(DeviceLock.shared)),
        patch.object(DeviceLock, "exclusive", account.exclusive(DeviceLock.exclusive)),
    ):
        outcome = run(job, contact)
    sums = {"worker_s": time.perf_counter() - begun, **account.sums()}
    return {**outcome, "checks": {**outcome["checks"], CHECK: sums}}


def study(folder: Path, data: Path, trials: int, at_once: int) -> Study:
    """Search anew."""
    import spaces
    from reid.data import load_dataset
    from search.jobs import Resources
    from search.opening import Data
    from search.session import search

    return search(
        folder,
        spaces.load("demo"),
        Data(name="synthetic", root=data, fingerprint=load_dataset("synthetic", data).fingerprint),
        trials=trials,
        sampler="random",
        resources=Resources(gpus_per_trial=0, max_concurrent=at_once),
        function="benchmarks.waiting:measured",
    )


def together(accounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums of some trials as one; `share` is that of their workers' seconds in which they waited for timings."""
    added = {
        name: sum(one[name] for one in accounts)
        for name in ("worker_s", "waited_s", "steps", "timings_waited_s", "timings", "alone_s")
    }
    return {
        **added,
        "share": added["waited_s"] / added["worker_s"],
        "longest_wait_s": max(one["longest_wait_s"] for one in accounts),
        **{
            name: _by_name(pair for one in accounts for pair in one[name].items())
            for name in ("waited_by_step_s", "alone_by_step_s")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=2, help="trials beside each other")
    given = parser.parse_args()
    one_thread()
    from reid.data.prepare import prepare_synthetic
    from reid.data.synthetic import SyntheticOptions

    with tempfile.TemporaryDirectory(prefix="waiting-") as root:
        os.environ["REID_PARETO_LATENCIES"] = str(Path(root) / "latencies")
        data = Path(root) / "data"
        prepare_synthetic(SyntheticOptions(identities=24, test_identities=8), data)
        begun = time.perf_counter()
        done = study(Path(root) / "study", data, given.trials, given.at_once)
        wall_s = time.perf_counter() - begun
        records, baseline = done.records(), done.baseline
    assert baseline is not None
    accounts = {record.number: record.checks[CHECK] for record in records if CHECK in record.checks}
    write_result(
        "waiting",
        {
            "trials": len(records),
            "trials_without_figures": len(records) - len(accounts),
            "at_once": given.at_once,
            "wall_s": wall_s,
            **together([baseline.checks[CHECK], *accounts.values()]),
            "without_baseline": together(list(accounts.values())),
            "each": {str(number): {name: one[name] for name in ("worker_s", "waited_s", "longest_wait_s", "alone_s")}
                     for number, one in accounts.items()},
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
