"""Training on decoded images, and embedding them."""

from reid.train.images import embed, normalise_batch
from reid.train.loop import train
from reid.train.recipe import EpochReport, Recipe

__all__ = ["EpochReport", "Recipe", "embed", "normalise_batch", "train"]
