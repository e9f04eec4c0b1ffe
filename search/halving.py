"""Early stopping with several objectives: asynchronous successive halving whose rungs are ranked by domination.

Source: Schmucker et al., Multi-objective Asynchronous Successive Halving, 2021, section 3 (ASHA of Li et al., MLSys
2020, with non-dominated sorting in place of one metric; ties by crowding distance, Deb et al., NSGA-II, section III-B).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.errors import ConfigError
from results import Record, pareto_front
from search.planner import FOOTPRINT_METRICS, override
from spaces import Space

__all__ = [
    "Halving",
    "HalvingSettings",
    "crowding_distances",
    "order_by_domination",
    "rung_epochs",
    "with_evaluations",
]

_Floats = NDArray[np.float64]

_MEASURED_LAST = ("mAP_trapezoid", "rank1", "rank5", "rank10", *FOOTPRINT_METRICS)
"""Figures that no epoch of a training tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvingSettings:
    """How early stopping works.

    Attributes:
        grace_epochs: finetuning epochs before the first rung, >= 1.
        eta: a share of 1 / eta of the trials that reach a rung goes on; >= 2.
    """

    grace_epochs: int = 2
    eta: int = 2

    def __post_init__(self) -> None:
        if self.grace_epochs < 1:
            raise ConfigError(f"--grace-epochs must be at least 1, got {self.grace_epochs}")
        if self.eta < 2:
            raise ConfigError(f"--eta must be at least 2, got {self.eta}")


class Halving:
    """The rungs of one search.

    Args:
        settings: where the rungs are and what share goes on.
        objectives: metric -> "maximize" or "minimize"; what is compared.
    """

    def __init__(self, settings: HalvingSettings, objectives: Mapping[str, str]) -> None:
        self._settings, self._objectives = settings, dict(objectives)
        self._rungs: dict[int, list[list[float]]] = {}

    def note(self, record: Record) -> None:
        """Let a trial of an earlier run stand on the rungs that it reached."""
        early = record.checks.get("early_latency_ms")
        known = record.metrics if early is None else {**record.metrics, "latency_ms": early}
        for row in record.curves:
            if row.get("stage") == "finetune" and row.get("val_mAP") is not None:
                self._stand(int(row["epoch"]) + 1, {**known, "mAP": row["val_mAP"]})

    def keep_going(self, epoch: int, figures: Mapping[str, float]) -> bool:
        """Whether a trial with these figures goes on after an epoch; at a rung they are remembered.

        Args:
            epoch: finetuning epochs done, >= 1.
            figures: finite, by metric; a trial without one of the objectives goes on.
        """
        rung = self._stand(epoch, figures)
        if rung is None:
            return True
        order = order_by_domination(np.array(rung), list(self._objectives.values()))
        place = int(np.flatnonzero(order == len(rung) - 1)[0])
        return place < max(1, len(rung) // self._settings.eta)

    def _stand(self, epoch: int, figures: Mapping[str, float]) -> list[list[float]] | None:
        """Remember a trial at a rung: all that were there, itself the last; None where nothing is compared."""
        if epoch not in rung_epochs(self._settings, epoch) or not self._objectives.keys() <= figures.keys():
            return None
        rung = self._rungs.setdefault(epoch, [])
        rung.append([figures[name] for name in self._objectives])
        return rung


def with_evaluations(space: Space, settings: HalvingSettings) -> Space:
    """The space whose trials are evaluated at every rung.

    Raises:
        ConfigError: the space evaluates at other epochs than the rungs', prunes in rounds, or has an objective that is
            not known while a trial trains.
    """
    if late := next((name for name in space.objectives if name in _MEASURED_LAST), None):
        raise ConfigError(
            f"--scheduler asha compares trials while they train, and objective {late} is measured afterwards; leave "
            "--scheduler out, or take mAP"
        )
    if "prune_rounds" in space.parameters or space.fixed.get("prune_rounds", 1) != 1:
        raise ConfigError("--scheduler asha compares epochs of one finetuning; leave prune_rounds at 1")
    every = space.fixed.get("validate_every", 0)
    if "validate_every" in space.parameters or (every and settings.grace_epochs % every):
        raise ConfigError(
            f"--grace-epochs {settings.grace_epochs} is no multiple of validate_every; leave validate_every out, or "
            "fix it to a divisor"
        )
    return space if every else override(space, {"validate_every": settings.grace_epochs})


def rung_epochs(settings: HalvingSettings, epochs: int) -> tuple[int, ...]:
    """The rungs up to `epochs`: grace, grace * eta, grace * eta^2 and so on."""
    rungs, rung = [], settings.grace_epochs
    while rung <= epochs:
        rungs.append(rung)
        rung *= settings.eta
    return tuple(rungs)


def order_by_domination(values: _Floats, directions: Sequence[str]) -> NDArray[np.int64]:
    """Rows from best to worst: front after front, within a front the least crowded first, then in their order.

    Args:
        values: (N, M) finite.
        directions: "maximize" or "minimize" for each column.

    Returns:
        (N,) a permutation of the rows.
    """
    left = np.arange(len(values))
    ordered: list[int] = []
    while len(left):
        on_front = pareto_front(values[left], list(directions))
        front = left[on_front]
        crowding = crowding_distances(values[front])
        ordered += front[np.argsort(-crowding, kind="stable")].tolist()
        left = left[~on_front]
    return np.array(ordered, dtype=np.int64)


def crowding_distances(values: _Floats) -> _Floats:
    """How far the neighbours of each row lie apart, summed over the columns as shares of their spread.

    Args:
        values: (N, M) finite, one front.

    Returns:
        (N,) >= 0; infinite at both ends of every column that spreads at all.
    """
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]] if len(column) else 0.0
        if spread <= 0:
            continue
        distances[order[[0, -1]]] = np.inf
        distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distances
