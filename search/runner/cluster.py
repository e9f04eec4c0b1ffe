"""Starts a Ray cluster that only this process can reach, or joins one."""

import fcntl
import logging
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from reid.errors import ResourceError
from reid.files import remove_tree
from search.jobs import Resources

__all__ = ["cluster", "local_cpus"]

# The smallest that Ray takes: trials hand over one short text each.
_OBJECT_STORE_BYTES = 100 * 2**20

_OLDEST = (2, 54)
"""Of Ray: before, anybody who reached a cluster's dashboard could delete (CVE-2026-27482)."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_PREFIX = "reid-pareto-ray-"
_LOCK = "driver.lock"

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray prints what its processes complain about to standard output; the driver says it better.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Ray makes its workers polite (nice 15); a latency timed at low priority is that of whatever runs beside it.
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # What a killed worker leaves running (data loaders) goes with it.
    "RAY_process_group_cleanup_enabled": "1",
    # The queue counts what fits (search/runner/queue.py).
    "TUNE_MAX_PENDING_TRIALS_PG": "4096",
    # What Tune writes for a restore is never read; again and again it would be all trials so far.
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    # Ctrl-C is the driver's: once stops asking, twice leaves (search/interrupt.py).
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


@contextmanager
def cluster(resources: Resources) -> Iterator[Path]:
    """Connect to Ray for the time of a `with` block.

    A cluster of our own listens on loopback only, has no dashboard, and asks every caller for a token that only
    this process and its children know; the kernel ends it with this process. It must be entered in the main thread,
    because the kernel ties it to the thread that starts it.

    Args:
        resources: says which cluster, and how many threads a trial has.

    Yields:
        A private folder for Ray's files; removed at the end.

    Raises:
        ResourceError: no cluster can be started or joined; says why.
    """
    _demand_version(metadata.version("ray"))
    _prepare_environment(resources)
    import ray

    _read_again(resources)
    _sweep()
    with _private_folder() as folder:
        try:
            try:
                _connect(resources, folder)
            except Exception as error:
                raise ResourceError(_why(resources, error)) from error
            yield folder
        finally:
            ray.shutdown()


def local_cpus() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def _private_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _sweep() -> None:
    """Remove the folders of drivers that were killed: nobody holds their locks."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            lock = os.open(path, os.O_RDWR)
        except OSError:
            continue  # Somebody else's.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            _remove(path.parent)
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove all but the lock, then the lock: what outlives its driver may still write, and is swept next time."""
    for entry in folder.iterdir():
        if entry.name != _LOCK:
            remove_tree(entry)
    if [entry.name for entry in folder.iterdir()] == [_LOCK]:
        remove_tree(folder)


def _prepare_environment(resources: Resources) -> None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if resources.address is None:
        # Ray replaces a loopback address by an outward one unless it believes to be where clusters are switched
        # off; then it binds every port to loopback.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ["RAY_AUTH_MODE"] = "token"
        # In the environment of our children only, not in a file in the user's home.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        for name in _THREADS:
            os.environ[name] = str(resources.cpus_per_trial)
    elif _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _read_again(resources: Resources) -> None:
    """Make Ray heed the environment also where the caller has imported it before (a notebook, another library)."""
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    if resources.address is None:
        ray_constants.ENABLE_RAY_CLUSTER = False


def _demand_version(version: str) -> None:
    """Refuse a Ray with known holes.

    Raises:
        ResourceError: it is too old.
    """
    found = tuple(int(part) for part in version.split(".")[:2])
    if found < _OLDEST:
        raise ResourceError(
            f"Ray {version} lets strangers into its cluster (CVE-2026-27482); install ray>={_OLDEST[0]}.{_OLDEST[1]}"
        )


def _has_token() -> bool:
    """Whether this user has been given the token of a cluster, where Ray looks for it."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token")).is_file()


def _why(resources: Resources, error: Exception) -> str:
    reason = " ".join(str(error).split())
    if resources.address is None:
        return f"cannot start Ray: {reason}"
    hint = (
        "is the token that of the cluster?"
        if _has_token()
        else "has it a token? name it in RAY_AUTH_TOKEN, or its file in RAY_AUTH_TOKEN_PATH"
    )
    return f"cannot join the Ray cluster at {resources.address} ({hint}): {reason}"


def _connect(resources: Resources, folder: Path) -> None:
    # Ray puts a handler of its own on SIGTERM, which would end the driver in the middle of things.
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _init(resources, folder)
    for number, handler in former.items():
        signal.signal(number, handler)


def _init(resources: Resources, folder: Path) -> None:
    import ray

    if resources.address is not None:
        ray.init(
            address=resources.address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # Libraries read it when they are loaded, which may be before a worker knows its first trial.
            runtime_env={"env_vars": dict.fromkeys(_THREADS, str(resources.cpus_per_trial))},
        )
        return
    ray.init(
        address="local",
        num_cpus=max(local_cpus(), resources.cpus_per_trial),
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder),
    )
