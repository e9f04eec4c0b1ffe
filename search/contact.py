"""What a running job says to its driver and hears from it, through files of its work folder.

The driver may sit on another machine and the job is busy computing, so neither can call the other.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reid.errors import ReidParetoError, Stopped
from reid.files import write_volatile
from reid.stopwatch import NestedWatch
from search.jobs import Job, Sign
from search.logs import append_line, trim

__all__ = ["SIGN_INTERVAL_S", "Contact", "Report"]

Report = Callable[[int, Mapping[str, float], dict[str, Any]], None]

SIGN_INTERVAL_S = 1.0
"""Seconds between two signs of life."""


class Contact:
    """Gives signs of life from a thread of its own, so that a stopped process falls silent.

    Call it with a line to say something. It is a context manager: signs are given inside.

    Args:
        job: that runs.
        report: takes an evaluated epoch, its figures, and the trial's outcome if it ends there.
        halt: set to stop the job after its running step.
    """

    def __init__(
        self,
        job: Job,
        *,
        report: Report = lambda epoch, figures, so_far: None,
        halt: threading.Event | None = None,
    ) -> None:
        self.report = report
        self._halt = halt or threading.Event()
        self._job = job
        self._said = ""
        self._stage: tuple[str, float] | None = None
        self._watch = NestedWatch()
        self._spent: list[dict[str, Any]] = list(job.payload.get("spent_before", ()))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signs-of-life", daemon=True)

    def __enter__(self) -> "Contact":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        # Most jobs of a simulator compute no stage and were over before the first sign.
        if self._spent:
            self._give_sign(0)

    def __call__(self, line: str) -> None:
        """Put a line on the next sign and into the log."""
        self._said = line
        append_line(self._job.log, line)

    @contextmanager
    def stage(self, key: str) -> Iterator[None]:
        """Note that a stage is being computed, and what it cost; the driver ends one that takes longer than allowed.

        One may lie within another, as the teacher's embeddings within a training; its time is not that of the other.

        Args:
            key: its key in the cache, which begins with its name.
        """
        name, around, done = key.partition("-")[0], self._stage, False
        began = time.monotonic()
        self._stage = (name, began)
        try:
            with self._watch.work() as spent:
                yield
            done = True
        finally:
            times = {"seconds": spent.seconds, "cpu_seconds": spent.cpu_seconds}
            row = {"name": name, "key": key, **times, "cached": False}
            # First, so that no sign tells of the stage twice.
            self._stage = around and (around[0], around[1] + time.monotonic() - began)
            self._spent.append(row if done else row | {"lost": True})

    @property
    def stopping(self) -> bool:
        """Whether the job was asked to stop after its running step."""
        return self._halt.is_set()

    def go_on(self) -> None:
        """Do nothing, unless the driver asked the job to stop.

        Raises:
            Stopped: it did.
        """
        if self.stopping:
            raise Stopped("stopped by the search; the same command continues it")

    def _run(self) -> None:
        count = 0
        # The first sign waits: most jobs of a simulator are over before it.
        while not self._over.wait(SIGN_INTERVAL_S):
            count += 1
            if self._job.stop_request.exists():
                self._halt.set()
            self._give_sign(count)

    def _give_sign(self, count: int) -> None:
        # A full disk is told by the trial itself; a missing sign only makes it look silent.
        with contextlib.suppress(ReidParetoError, OSError):
            write_volatile(self._job.sign_of_life, self._sign(count).to_json())
            trim(self._job.log)

    def _sign(self, count: int) -> Sign:
        stage: dict[str, Any] = {}
        if (now := self._stage) is not None:
            stage = {"stage": now[0], "stage_s": time.monotonic() - now[1]}
        return Sign(count=count, said=self._said, spent=tuple(self._spent), **stage)
