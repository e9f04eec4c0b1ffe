"""What goes wrong in a simulated search: which trial, and how."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from reid.errors import ConfigError

__all__ = ["FAULTS", "Fault", "Faults"]

Fault = Literal["raise", "kill", "hang", "nan", "torn"]

FAULTS: tuple[Fault, ...] = ("raise", "kill", "hang", "nan", "torn")
"""Every fault: an exception, a killed worker, a silent worker, a figure that is no number, an artifact cut short."""

_PASSING: tuple[Fault, ...] = ("kill", "hang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Faults drawn by chance, the same ones for the same seed whatever else happens.

    Attributes:
        share: of trials that meet one, 0 to 1.
        seed: of the draw.
    """

    share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"the share of faults must be 0 to 1, got {self.share}")

    def of(self, number: int, attempt: int) -> tuple[Fault, float] | None:
        """The fault of an attempt and the share of its time after which it strikes; None where all goes well.

        A lost worker is lost at the first attempt only; what is the trial's own doing happens at every one. The
        baseline (number < 0) meets none: a search ends with it.
        """
        if number < 0 or not self.share:
            return None
        hit, kind, when = np.random.default_rng([self.seed, number]).random(3)
        fault = FAULTS[int(kind * len(FAULTS))]
        if hit >= self.share or (fault in _PASSING and attempt > 1):
            return None
        return fault, float(when)
