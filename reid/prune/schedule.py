"""How the rate of soft pruning rises over its epochs."""

import math
from collections.abc import Callable

from reid.config import reject_unknown

__all__ = ["SCHEDULES", "share_of_rate"]


def share_of_rate(schedule: str, epoch: int, epochs: int) -> float:
    """Share of the final rate that is reached after an epoch.

    Args:
        schedule: name in `SCHEDULES`.
        epoch: that has just ended, counted from 0, 0 <= epoch < epochs.
        epochs: of soft pruning, >= 1.

    Returns:
        0 < share <= 1; 1 after the last epoch.

    Raises:
        ConfigError: the schedule is unknown; lists the known.
    """
    reject_unknown([schedule], SCHEDULES, "prune_schedule")
    return min(1.0, SCHEDULES[schedule]((epoch + 1) / epochs))


def _asymptotic(progress: float) -> float:
    return (1 - math.exp(-_STEEPNESS * progress)) / (1 - math.exp(-_STEEPNESS))


def _steepness() -> float:
    """The k > 0 for which three quarters are reached at an eighth of the way, by bisection."""
    low, high = 1.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        reached = (1 - math.exp(-middle / 8)) / (1 - math.exp(-middle))
        low, high = (middle, high) if reached < 0.75 else (low, middle)
    return (low + high) / 2


_STEEPNESS = _steepness()

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "asymptotic": _asymptotic,
    "cubic": lambda progress: 1 - (1 - progress) ** 3,
}
"""Share of the rate by progress in (0, 1].

Sources: "asymptotic": an exponential through 0, three quarters at an eighth of the epochs and 1 at their end (He
et al., Asymptotic Soft Filter Pruning, IEEE Transactions on Cybernetics 2019, section III-C). "cubic": Zhu and Gupta,
To prune, or not to prune, ICLR 2018 workshop, section 3.
"""
