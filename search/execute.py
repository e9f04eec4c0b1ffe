"""Runs one job in this process: calls its function, stays in contact with the driver meanwhile, and never raises."""

import importlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reid.errors import ConfigError, DataError, DeviceLost, OutOfMemory, ReidParetoError
from search.contact import Contact
from search.devices import device_is_lost, this_machine, visible_device
from search.jobs import Answer, Job

__all__ = ["run_job", "told"]

_VISIBLE_WITHIN_S = 15.0  # NFS clients may believe for some seconds that a new folder does not exist.


def run_job(
    job: Job,
    *,
    report: Callable[[int, Mapping[str, float], Answer], None] | None = None,
    halt: threading.Event | None = None,
) -> Answer:
    """Run the function of a job in contact with the driver.

    Args:
        job: what to run.
        report: takes an evaluated epoch, its figures, and the answer if the job ends there.
        halt: set to stop the job after its running step, as its stop request does.

    Returns:
        Its outcome, or the error that it raised; an exception never leaves.
    """
    worker = {**this_machine(), "pid": os.getpid(), "device": visible_device()}

    def tell(epoch: int, figures: Mapping[str, float], so_far: dict[str, Any]) -> None:
        if report is not None:
            report(epoch, figures, Answer(outcome=so_far, worker=worker))

    with Contact(job, report=tell, halt=halt) as contact:
        try:
            _demand_folder(job.work)
            outcome = _function(job.function)(job, contact)
            return Answer.from_json(Answer(outcome=outcome, worker=worker).to_json())
        except Exception as error:
            return Answer(error=told(error), worker=worker)


def told(error: BaseException) -> dict[str, str]:
    """An exception as an answer names it: {"kind", "message"}."""
    if isinstance(error, ReidParetoError):
        return {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, MemoryError):
        return {"kind": OutOfMemory.__name__, "message": f"out of memory: {error}"}
    message = str(error) or repr(error)
    if device_is_lost(message):
        return {
            "kind": DeviceLost.__name__,
            "message": f"{visible_device()} on {socket.gethostname()}: {message}",
        }
    return {"kind": type(error).__name__, "message": message}


def _demand_folder(work: Path) -> None:
    """Refuse to run where the study's folder is not mounted.

    Raises:
        DataError: it is not.
    """
    deadline = time.monotonic() + _VISIBLE_WITHIN_S
    while not work.is_dir():
        if time.monotonic() > deadline:
            raise DataError(
                f"{work} is not there on {socket.gethostname()}; keep study and data on storage that every "
                "node mounts at the same path"
            )
        time.sleep(0.2)


def _function(path: str) -> Callable[[Job, Contact], dict[str, Any]]:
    module, colon, name = path.partition(":")
    if not colon:
        raise ConfigError(f"trial function must be module:name, got {path!r}")
    function: Callable[[Job, Contact], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function
