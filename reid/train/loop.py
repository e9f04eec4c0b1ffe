"""Training: epochs of gated steps, each epoch a function of the seed and its number."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.errors import ConfigError, TrainingDiverged
from reid.models import ReIDNetwork
from reid.train.allocator import keep_freed_memory
from reid.train.checkpoint import State, restore, save
from reid.train.images import check_images
from reid.train.recipe import EpochReport, Progress, Recipe
from reid.train.stepper import Stepper, seeded

__all__ = ["is_over", "train"]

Gate = Callable[[], AbstractContextManager[None]]


def train(
    model: ReIDNetwork,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    recipe: Recipe,
    *,
    after_epoch: Callable[[nn.Module, int], None] | None = None,
    checkpoint: Path | None = None,
    gate: Gate = nullcontext,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_step: Callable[[Progress], None] = lambda progress: None,
    still: Callable[[], AbstractContextManager[None]] = nullcontext,
    teacher: NDArray[np.float32] | None = None,
    live: Callable[[Tensor], Tensor] | None = None,
    validate: Callable[[nn.Module], float] | None = None,
) -> tuple[EpochReport, ...]:
    """Train `model` in place, on the device where it is.

    Its mode is put back afterwards, its weights are contiguous then.

    The outcome depends on the network, the images, the labels, the recipe, the teacher, `after_epoch` and
    `validate` alone: on a CPU, with as many threads as before, a training that goes on from its checkpoint gives
    the same weights as an uninterrupted one, bit for bit. `after_epoch` and `validate` must then be functions of
    network and epoch.

    Args:
        model: in training mode gives what `reid.models.TrainingOutput` holds.
        images: (N, H, W, 3) uint8, RGB; may be memory-mapped.
        labels: (N,) int64, identity of each image in [0, C) for logits (B, C).
        recipe: what to do.
        after_epoch: called with the network and the epoch (from 0) after each epoch, before the checkpoint
            and outside the gate; soft pruning. Torch's global generator is seeded for it. A moving average
            takes no notice of what it changes before the next step.
        checkpoint: file that is rewritten after each epoch, and from which training goes on if it is there.
        gate: entered around every step; holds a device so that no timing runs beside the step.
        on_epoch: called with each report after its checkpoint is written; not called again for the epochs
            that the checkpoint holds.
        on_step: called after every step, outside the gate.
        still: entered around each step of the optimizer; puts back what is not to move.
        teacher: (N, T) a teacher's embedding of each image before augmentation, for the distillation terms of
            the recipe's loss; or (N, V, T) of its V views as `reid.train.variants.drawn_variants` draws them for
            the recipe, which the network then sees in place of fresh ones, mirrored at random.
        live: embeds the augmented batches, (B, 3, H, W) normalised, as the teacher does, on the device of `model`;
            the distillation terms then compare with this and take only the classes' means from `teacher`.
        validate: mean average precision of a network on identities that are not trained on; enters the gate
            itself and leaves the network as it is.

    Returns:
        One report per epoch, those of the checkpoint included.

    Raises:
        ConfigError: images or labels of a wrong shape, fewer identities than P, a checkpoint of another
            training, or a recipe that evaluates without `validate`.
        TrainingDiverged: the loss is NaN or infinite, names epoch and step; or a weight after an epoch.
        ResourceError: memory or disk ran out.
    """
    _check(images, labels, recipe, teacher, live, validate)
    keep_freed_memory()
    was_training = model.training
    _lay_out(model.train(), torch.channels_last)
    run = Stepper(model, images, labels, recipe, gate, teacher, live, on_step, still)
    try:
        state = restore(checkpoint, run, len(images)) if checkpoint else State()
        while not is_over(recipe, state.reports):
            state = _next_epoch(run, state, after_epoch, validate)
            if checkpoint:
                save(checkpoint, run, len(images), state)
            on_epoch(state.reports[-1])
        if state.kept is not None:
            model.load_state_dict(state.kept)
    finally:
        _lay_out(model.train(was_training), torch.contiguous_format)
    return state.reports


def is_over(recipe: Recipe, reports: tuple[EpochReport, ...]) -> bool:
    """Whether all epochs are done, or the last `patience` evaluations brought no new best."""
    if len(reports) >= recipe.epochs:
        return True
    scores = [report.val_mAP for report in reports if report.val_mAP is not None]
    return bool(recipe.patience and scores) and len(scores) - 1 - int(np.argmax(scores)) >= recipe.patience


def _next_epoch(
    run: Stepper,
    state: State,
    after_epoch: Callable[[nn.Module, int], None] | None,
    validate: Callable[[nn.Module], float] | None,
) -> State:
    recipe, epoch = run.recipe, len(state.reports)
    with seeded(recipe.seed, epoch, run.device):
        report = run.epoch(epoch)
        if after_epoch:
            after_epoch(run.model, epoch)
        _check_finite(run.model, epoch, recipe)
        last = epoch + 1 == recipe.epochs
        evaluated = bool(recipe.validate_every) and (last or (epoch + 1) % recipe.validate_every == 0)
        outcome: nn.Module = run.model
        if run.average is not None and (last or evaluated):
            outcome = run.averaged(epoch)
        if evaluated and validate:
            report = replace(report, val_mAP=validate(outcome))
    best = max((r.val_mAP for r in state.reports if r.val_mAP is not None), default=-1.0)
    reports = (*state.reports, report)
    if recipe.keep == "best":
        wanted = report.val_mAP is not None and report.val_mAP > best
    else:
        wanted = run.average is not None and is_over(recipe, reports)
    return State(reports=reports, kept=_copy(outcome) if wanted else state.kept)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _check(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    recipe: Recipe,
    teacher: NDArray[np.float32] | None,
    live: Callable[[Tensor], Tensor] | None,
    validate: Callable[[nn.Module], float] | None,
) -> None:
    check_images(images)
    if labels.shape != (len(images),):
        raise ConfigError(f"labels must be one per image, got {labels.shape} for {len(images)} images")
    if teacher is not None and len(teacher) != len(images):
        raise ConfigError(
            f"teacher must embed each image once, got {len(teacher)} rows for {len(images)} images"
        )
    if teacher is not None and teacher.ndim == 3 and (live is not None or recipe.mixup):
        raise ConfigError("a teacher of drawn views knows no other images; leave out live and mixup")
    if recipe.validate_every and validate is None:
        raise ConfigError("validate_every is set, but there are no validation images; set it to 0")


def _check_finite(model: nn.Module, epoch: int, recipe: Recipe) -> None:
    # A step after which the loss is no number shows in the next one; nothing comes after an epoch's last.
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise TrainingDiverged(
                f"{name} is not finite after the last step of epoch {epoch + 1} of {recipe.epochs}; "
                "lower learning_rate, set clip_norm or set precision to fp32"
            )


def _lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    model.to(memory_format=memory_format)  # type: ignore[call-overload]
