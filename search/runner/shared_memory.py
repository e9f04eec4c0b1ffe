"""Python's tracker of shared memory, out of reach of what kills a worker."""

import subprocess
from collections.abc import Sequence
from multiprocessing import resource_tracker, util
from typing import Any

__all__ = ["track_apart"]

_kept: list[subprocess.Popen[bytes]] = []


def track_apart() -> None:
    """Start the process that removes shared memory after this one, in a session of its own.

    Ray ends a lost worker together with its process group. Python would start its tracker in that group, where it is
    killed before it has removed what the worker left in /dev/shm.
    """
    before = util.spawnv_passfds
    util.spawnv_passfds = _spawn_apart
    try:
        resource_tracker.ensure_running()
    finally:
        util.spawnv_passfds = before


def _spawn_apart(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    process = subprocess.Popen(args, executable=path, pass_fds=passfds, start_new_session=True)
    # Otherwise Python would warn that nobody waited for it.
    _kept.append(process)
    return process.pid
