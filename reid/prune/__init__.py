"""Which channels a network can lose, how they fade out, and the smaller network that remains."""

from reid.prune.allocate import layer_rates
from reid.prune.choose import select
from reid.prune.criteria import fpgm_selection, norm_selection
from reid.prune.mask import decay
from reid.prune.methods import (
    METHODS,
    Method,
    Pruner,
    method_of,
    planned,
    prune_parameters,
    soft_epochs,
    unit_rates,
)
from reid.prune.nni import demand_nni, nni_plan
from reid.prune.plan import PrunePlan, kept_count
from reid.prune.rounds import compose, round_rates
from reid.prune.selection import bafd_local_ranking, bafd_selection
from reid.prune.slim import MAX_SLIM_DIFFERENCE, slim, slim_difference, slim_tolerance
from reid.prune.storage import load_slim, save_slim
from reid.prune.units import PruneUnit, Scope, Span, find_units

__all__ = [
    "MAX_SLIM_DIFFERENCE",
    "METHODS",
    "Method",
    "PrunePlan",
    "PruneUnit",
    "Pruner",
    "Scope",
    "Span",
    "bafd_local_ranking",
    "bafd_selection",
    "compose",
    "decay",
    "demand_nni",
    "find_units",
    "fpgm_selection",
    "kept_count",
    "layer_rates",
    "load_slim",
    "method_of",
    "nni_plan",
    "norm_selection",
    "planned",
    "prune_parameters",
    "round_rates",
    "save_slim",
    "select",
    "slim",
    "slim_difference",
    "slim_tolerance",
    "soft_epochs",
    "unit_rates",
]
