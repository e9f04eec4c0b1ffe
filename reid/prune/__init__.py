"""Which channels a network can lose, how they fade out, and the smaller network that remains."""

from reid.prune.allocate import layer_rates
from reid.prune.mask import decay
from reid.prune.methods import METHODS, Pruner, planned
from reid.prune.plan import PrunePlan, kept_count, select
from reid.prune.selection import bafd_local_ranking, bafd_selection
from reid.prune.slim import slim, slim_difference
from reid.prune.storage import load_slim, save_slim
from reid.prune.units import PruneUnit, Scope, find_units

__all__ = [
    "METHODS",
    "PrunePlan",
    "PruneUnit",
    "Pruner",
    "Scope",
    "bafd_local_ranking",
    "bafd_selection",
    "decay",
    "find_units",
    "kept_count",
    "layer_rates",
    "load_slim",
    "planned",
    "save_slim",
    "select",
    "slim",
    "slim_difference",
]
