"""What the search does about each kind of failure; the class of the error decides (reid/errors.py)."""

from typing import Any, Literal

import reid.errors
from reid.config import TrialConfig
from reid.errors import (
    ArtifactError,
    DataError,
    DeviceLost,
    NoDevice,
    ReidParetoError,
    ResourceError,
    Stopped,
    WorkerLost,
)

__all__ = ["MAX_RETRIES", "Action", "decide", "rebuild_error", "smaller"]

Action = Literal["failed", "infeasible", "leave", "retry", "stop"]

MAX_RETRIES = 1
"""How often a trial is begun again after a failure that may pass."""

_PASSING = (ResourceError, WorkerLost)
_STOPPING = (DataError, NoDevice)
_LEAST_IDENTITIES = 2
_LEAST_BATCH = 2


def decide(kind: str, retries: int) -> Action:
    """What to do about a failed attempt.

    Args:
        kind: name of the exception's class.
        retries: how often this trial was begun again for such a failure before.
    """
    error = _class(kind)
    if issubclass(error, _STOPPING):
        return "stop"
    if issubclass(error, ArtifactError):
        return "infeasible"
    if issubclass(error, Stopped):
        return "leave"
    # A lost device is no fault of the trial; each is lost once.
    if issubclass(error, DeviceLost) or (issubclass(error, _PASSING) and retries < MAX_RETRIES):
        return "retry"
    return "failed"


def smaller(config: TrialConfig) -> dict[str, Any]:
    """Settings that let a trial which ran out of memory need less: half the batch.

    Returns:
        The changed settings; none where the batch is as small as it can be.
    """
    if config.sampler == "pk":
        half = max(_LEAST_IDENTITIES, config.identities_per_batch // 2)
        return {} if half == config.identities_per_batch else {"identities_per_batch": half}
    half = max(_LEAST_BATCH, config.batch_size // 2)
    return {} if half == config.batch_size else {"batch_size": half}


def rebuild_error(kind: str, message: str) -> ReidParetoError:
    """An exception of the class named, or of the root where it is not ours."""
    return _class(kind)(message)


def _class(kind: str) -> type[ReidParetoError]:
    known: object = getattr(reid.errors, kind, None) if kind in reid.errors.__all__ else None
    return known if isinstance(known, type) and issubclass(known, ReidParetoError) else ReidParetoError
