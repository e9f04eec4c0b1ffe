"""The learning rate of every step."""

import math

from reid.train.recipe import Recipe

__all__ = ["learning_rate"]

_FINAL_SHARE = 0.01
_STEP = 0.1


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up to the peak, then what the schedule says.

    "cosine" falls by half a cosine to a hundredth of the peak at the last step; "step" multiplies by a tenth
    after each milestone, in the warm-up too; "constant" stays at the peak.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts; He et al., Deep Residual
    Learning for Image Recognition, CVPR 2016, section 3.4 (steps of a tenth).

    Args:
        recipe: gives peak, epochs, warm-up, schedule and milestones.
        step: counted from 0 over the whole training.
        steps_per_epoch: >= 1.
    """
    total = recipe.epochs * steps_per_epoch
    warmup = min(recipe.warmup_epochs, recipe.epochs / 2) * steps_per_epoch
    done = step + 1
    passed = sum(step >= milestone * steps_per_epoch for milestone in recipe.milestones)
    if done <= warmup:
        return recipe.learning_rate * done / warmup * _STEP**passed
    if recipe.schedule != "cosine":
        return recipe.learning_rate * _STEP**passed
    cosine = 0.5 * (1 + math.cos(math.pi * (done - warmup) / (total - warmup)))
    return recipe.learning_rate * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine)
