"""Runs one job in this process: calls its function, gives signs of life meanwhile, and never raises."""

import contextlib
import importlib
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from reid.errors import ConfigError, ReidParetoError
from reid.files import write_json
from reid.timing.machine import cores, cpu_name
from search.jobs import Answer, Job

__all__ = ["SIGN_INTERVAL_S", "run_job"]

SIGN_INTERVAL_S = 1.0
"""Seconds between two signs of life."""


def run_job(job: Job) -> Answer:
    """Run the function of a job, and give signs of life meanwhile.

    Returns:
        Its outcome, or the error that it raised; an exception never leaves.
    """
    worker = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "cpu": cpu_name(),
        "cores": f"{cores()} cores",
    }
    with _Signs(job) as signs:
        try:
            outcome = _function(job.function)(job, signs.say)
            return Answer.from_json(Answer(outcome=outcome, worker=worker).to_json())
        except ReidParetoError as error:
            return Answer(error={"kind": type(error).__name__, "message": str(error)}, worker=worker)
        except MemoryError as error:
            return Answer(
                error={"kind": "ResourceError", "message": f"out of memory: {error}"}, worker=worker
            )
        except Exception as error:
            return Answer(
                error={"kind": type(error).__name__, "message": str(error) or repr(error)}, worker=worker
            )


class _Signs:
    """Writes the job's sign of life from a thread of its own, so that a stopped process falls silent."""

    def __init__(self, job: Job) -> None:
        self._path = job.sign_of_life
        self._said = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signs-of-life", daemon=True)

    def __enter__(self) -> "_Signs":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def say(self, line: str) -> None:
        """Put a line on the next sign."""
        self._said = line

    def _run(self) -> None:
        count = 0
        while not self._over.is_set():
            count += 1
            # A full disk is told by the trial itself; a missing sign only makes it look silent.
            with contextlib.suppress(ReidParetoError):
                write_json(self._path, {"count": count, "said": self._said})
            self._over.wait(SIGN_INTERVAL_S)


def _function(path: str) -> Callable[[Job, Callable[[str], None]], dict[str, Any]]:
    module, colon, name = path.partition(":")
    if not colon:
        raise ConfigError(f"trial function must be module:name, got {path!r}")
    function: Callable[[Job, Callable[[str], None]], dict[str, Any]] = getattr(
        importlib.import_module(module), name
    )
    return function
