"""The learning rate of every step."""

import math

from reid.train.recipe import Recipe

__all__ = ["learning_rate"]

_FINAL_SHARE = 0.01


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to a hundredth of it at the last step.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts.

    Args:
        recipe: gives the peak, the epochs and the warm-up.
        step: counted from 0 over the whole training.
        steps_per_epoch: >= 1.
    """
    total = recipe.epochs * steps_per_epoch
    warmup = min(recipe.warmup_epochs, recipe.epochs / 2) * steps_per_epoch
    done = step + 1
    if done <= warmup:
        return recipe.learning_rate * done / warmup
    cosine = 0.5 * (1 + math.cos(math.pi * (done - warmup) / (total - warmup)))
    return recipe.learning_rate * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine)
