"""How a network is pruned: the settings of a trial between its dense network and its exported file."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from reid.training_settings import TrainingSettings, demand

__all__ = ["PRUNING", "PruningSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningSettings(TrainingSettings):
    """What prunes, slims and finetunes a network.

    Attributes:
        method: name in `reid.prune.METHODS`, or "none".
        prune_rate: share of filters removed, 0 <= r < 1.
        allocate: how the rate is spread over the layers; "auto" is the method's own way. "latency" takes what loses
            least importance within `latency_budget` or `macs_budget`.
        latency_budget: with `allocate` "latency": largest latency of the slimmed float network, as a share of the dense
            one's, in (0, 1); None, without `macs_budget`, is what `prune_rate` would give, spread evenly.
        macs_budget: the same of multiply-accumulates.
        max_layer_rate: largest rate of one layer that "bafd" and "latency" allocation give, in (0, 1).
        prune_rounds: how often the network is pruned, slimmed and finetuned on the way to the prune rate, each
            time by the same factor; >= 1.
        prune_epochs: epochs of soft pruning, >= 0, and >= 1 for a soft method; methods that prune at once take no
            notice of it.
        prune_schedule: how the rate of soft pruning rises over its epochs; "auto" is the method's own way.
        decay_rate: factor that remains after one soft-pruning step, 0 = zeroed, in [0, 1); None is the method's own.
        mask_norm: whether the decay takes weight and bias of the batch normalisation too; None is the method's own way.
        gradient_mask: whether filters that decayed after an epoch are held still during the next.
        zero_epochs: last epochs of soft pruning, not all, in which the choice is final and the chosen filters are zero
            together with their normalisation; the schedule ends before them.
        knn: neighbours in the local filter power, the filter itself counted, >= 2.
        efficient: use the fast selection where a layer's rate is above one half.
        nni_steps: training steps in which nni-taylor, nni-slim and nni-agp look at a copy of the network, >= 1.
        scope: "inner" keeps the residual stream at full width, "grouped" narrows it too.
        round_to: kept counts are rounded up to a multiple of this; None lets the target decide.
        finetune_epochs: epochs after slimming, >= 0.
        finetune_learning_rate: peak rate of soft pruning and finetuning.
        finetune_loss: loss of finetuning; None takes `loss`.
    """

    method: str = "bafd"
    prune_rate: float = 0.5
    allocate: Literal["auto", "uniform", "bafd", "latency"] = "auto"
    latency_budget: float | None = None
    macs_budget: float | None = None
    max_layer_rate: float = 0.9
    prune_rounds: int = 1
    prune_epochs: int = 5
    prune_schedule: Literal["auto", "constant", "asymptotic", "cubic"] = "auto"
    decay_rate: float | None = None
    mask_norm: bool | None = None
    gradient_mask: bool = False
    zero_epochs: int = 0
    knn: int = 2
    efficient: bool = True
    nni_steps: int = 100
    scope: Literal["inner", "grouped"] = "grouped"
    round_to: int | None = None
    finetune_epochs: int = 5
    finetune_learning_rate: float = 3.5e-4
    finetune_loss: str | None = None

    def __post_init__(self) -> None:
        # A slotted dataclass has no super() of its own before Python 3.14.
        TrainingSettings.__post_init__(self)
        for name in ("prune_rate", "decay_rate"):
            value = getattr(self, name)
            demand(value is None or 0 <= value < 1, name, value, "0 <= rate < 1")
        demand(0 < self.max_layer_rate < 1, "max_layer_rate", self.max_layer_rate, "0 < rate < 1")
        self._check_budgets()
        rate = self.finetune_learning_rate
        demand(0 < rate < math.inf, "finetune_learning_rate", rate, "above 0")
        for name, least in _LEAST.items():
            demand(getattr(self, name) >= least, name, getattr(self, name), f"at least {least}")
        if self.round_to is not None:
            demand(self.round_to >= 1, "round_to", self.round_to, "at least 1")
        # What is held at zero is chosen after an epoch, so at least one goes before.
        early = self.zero_epochs == 0 or self.zero_epochs < self.prune_epochs
        demand(early, "zero_epochs", self.zero_epochs, "below prune_epochs")
        several = self.prune_rounds > 1 and self.scope != "grouped"
        demand(not several, "prune_rounds", self.prune_rounds, "1 unless scope is grouped")

    def _check_budgets(self) -> None:
        given = [name for name in ("latency_budget", "macs_budget") if getattr(self, name) is not None]
        for name in given:
            demand(0 < getattr(self, name) < 1, name, getattr(self, name), "a share between 0 and 1")
            demand(self.allocate == "latency", "allocate", self.allocate, f"latency where {name} is set")
        demand(len(given) < 2, "macs_budget", self.macs_budget, "left out where latency_budget is set")


_LEAST = {
    "knn": 2, "prune_epochs": 0, "finetune_epochs": 0, "zero_epochs": 0, "nni_steps": 1, "prune_rounds": 1,
}  # fmt: skip

PRUNING = tuple(
    field.name
    for field in dataclasses.fields(PruningSettings)
    if field.name not in {inherited.name for inherited in dataclasses.fields(TrainingSettings)}
)
"""Names of the settings above, those of training left out."""
