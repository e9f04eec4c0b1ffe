"""What the search does about each kind of failure; the class of the error decides (reid/errors.py)."""

from typing import Literal

import reid.errors
from reid.errors import ArtifactError, DataError, NoDevice, ReidParetoError, ResourceError, WorkerLost

__all__ = ["MAX_RETRIES", "Action", "decide", "rebuild_error"]

Action = Literal["failed", "infeasible", "retry", "stop"]

MAX_RETRIES = 1
"""How often a trial is begun again after a failure that may pass."""

_PASSING = (ResourceError, WorkerLost)
_STOPPING = (DataError, NoDevice)


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
    if issubclass(error, _PASSING) and retries < MAX_RETRIES:
        return "retry"
    return "failed"


def rebuild_error(kind: str, message: str) -> ReidParetoError:
    """An exception of the class named, or of the root where it is not ours."""
    return _class(kind)(message)


def _class(kind: str) -> type[ReidParetoError]:
    known: object = getattr(reid.errors, kind, None) if kind in reid.errors.__all__ else None
    return known if isinstance(known, type) and issubclass(known, ReidParetoError) else ReidParetoError
