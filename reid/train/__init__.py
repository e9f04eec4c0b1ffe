"""Training on decoded images, and embedding them."""

from reid.train.images import embed, normalise_batch
from reid.train.loop import train
from reid.train.recipe import EpochReport, Progress, Recipe, Silent, Watcher

__all__ = [
    "EpochReport",
    "Progress",
    "Recipe",
    "Silent",
    "Watcher",
    "embed",
    "normalise_batch",
    "train",
]
