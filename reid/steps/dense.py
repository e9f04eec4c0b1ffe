"""Step 2: the dense network, trained once and shared by every trial with the same recipe."""

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reid.config import TrialConfig
from reid.errors import TrainingDiverged
from reid.evaluate import evaluate
from reid.files import read_json, write_atomic, write_json
from reid.losses import needs_teacher
from reid.models import (
    ReIDNetwork,
    build,
    code_key,
    network_options,
    read_state_dict,
    weights_bytes,
    weights_key,
)
from reid.prune import soft_epochs
from reid.steps.data import TrialData
from reid.steps.teach import teach, teacher_parameters, training_device, watch
from reid.steps.workshop import CHECKPOINT, Workshop
from reid.train import EpochReport, Recipe, embed, train
from reid.train.precision import autocast_type

__all__ = ["Network", "dense_skeleton", "fit", "recipe_of", "stage_parameters", "train_dense"]

Stage = Literal["dense", "prune", "finetune", "qat"]

# An average would not know what pruning decays, and the plan is that of the last epoch.
_PLAIN: dict[str, Any] = {"ema_decay": 0.0, "validate_every": 0, "patience": 0, "keep": "last"}


# Rounding to 8 bits is lost in bf16's 8 bits; weights hold folded factors, which must not shrink; the float network
# embedded the plain images, so that all that is left to learn is what rounding changed.
_QUANTIZED: dict[str, Any] = _PLAIN | {
    "optimizer": "adam",  # whose rate qat_learning_rate is
    "precision": "fp32",
    "compile": False,
    "weight_decay": 0.0,
    "backbone_rate": 1.0,
    "warmup_epochs": 0,
    "schedule": "cosine",
    "milestones": (),
    "flip": 0.0,
    "pad_crop": 0.0,
    "erasing": 0.0,
    "colour_jitter": 0.0,
    "hue": 0.0,
    "grayscale": 0.0,
    "mixup": 0.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A trained network and the content key of its weights."""

    model: ReIDNetwork
    key: str


def dense_skeleton(config: TrialConfig, data: TrialData) -> ReIDNetwork:
    """The dense network with random weights, the same for the same seed."""
    return _build(config, data, None)


def train_dense(work: Workshop, data: TrialData) -> Network:
    """The dense fp32 network at the trial's input size, out of the cache where another trial trained it."""
    config = work.config

    def compute(folder: Path) -> None:
        model = _build(config, data, config.weights)
        curve = fit(work, model, data, "dense", folder / CHECKPOINT)
        write_atomic(folder / "model.safetensors", weights_bytes(model))
        write_json(folder / "curve.json", curve)

    parameters = {
        "backbone": code_key(config.backbone),
        "options": dataclasses.asdict(network_options(config)),
        "weights": weights_key(config.backbone, config.weights) if config.weights else None,
        **stage_parameters(config, "dense"),
    }
    folder, key = work.stage("dense", 2, parameters, (data.key,), compute)
    work.curves += [{"stage": "dense", **epoch} for epoch in read_json(folder / "curve.json")]
    model = dense_skeleton(config, data)
    model.load_state_dict(read_state_dict(folder / "model.safetensors"))
    return Network(model=model, key=key)


def recipe_of(config: TrialConfig, stage: Stage) -> Recipe:
    """What a stage of the trial is to train.

    Raises:
        ConfigError: the loss of the stage is unknown.
    """
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(Recipe)}
    own: dict[str, Any] = {}
    if stage == "qat":
        own = {
            "epochs": config.qat_epochs,
            "learning_rate": config.qat_learning_rate,
            "loss": config.qat_loss,
            **_QUANTIZED,
        }
    elif stage != "dense":
        own["learning_rate"] = config.finetune_learning_rate
    if stage == "prune":
        own |= {"epochs": soft_epochs(config), **_PLAIN}
    if stage == "finetune":
        own["epochs"] = config.finetune_epochs
        if config.finetune_loss is not None:
            own["loss"] = config.finetune_loss
    return Recipe(**(shared | own))


def stage_parameters(config: TrialConfig, stage: Stage) -> dict[str, Any]:
    """What decides the outcome of a training besides its images and its start, as JSON values."""
    recipe = recipe_of(config, stage)
    # int8-qat learns from the network that is quantized, which its stage names as an input.
    taught = stage != "qat" and recipe.epochs and needs_teacher(recipe.loss)
    teacher = teacher_parameters(config) if taught else {}
    return {"recipe": recipe.to_dict(), "teacher": teacher}


def fit(
    work: Workshop,
    model: ReIDNetwork,
    data: TrialData,
    stage: Stage,
    checkpoint: Path,
    *,
    after_epoch: Callable[[nn.Module, int], None] | None = None,
    still: Callable[[], AbstractContextManager[None]] = nullcontext,
    dense: Network | None = None,
    taught: NDArray[np.float32] | None = None,
) -> list[dict[str, Any]]:
    """Train `model` in place under the device lock; resumes from `checkpoint`.

    Training runs on the first GPU that this process sees, else on the CPU; the network comes back to the CPU.

    Args:
        work: the trial.
        model: on the CPU.
        data: training and validation images.
        stage: gives the recipe.
        checkpoint: rewritten after each epoch.
        after_epoch: as for `reid.train.train`.
        still: as for `reid.train.train`.
        dense: the dense network, which may be the teacher.
        taught: (N, T) embeddings to learn from, instead of those of the configuration's teacher.

    Returns:
        One row per epoch.

    Raises:
        NotHere: this machine computes the network wrong in the precision that is asked for.
    """
    recipe = recipe_of(work.config, stage)
    if recipe.epochs == 0:
        return []
    if training_device() == "cpu":
        # Refused before a teacher looks at all images, for hours perhaps.
        with work.lock.shared():
            autocast_type(model, work.config.input_size, recipe.precision)

    def report(epoch: EpochReport) -> None:
        work.say(_line(stage, epoch, recipe.epochs))
        work.watcher.epoch(stage, epoch)

    teacher, live = taught, None
    if taught is None:
        teacher = teach(work, data, loss=recipe.loss, dense=dense)
        with work.lock.shared():
            live = watch(work.config, data, recipe.loss, dense)
    model.to(training_device())
    try:
        curve = train(
            model,
            data.images,
            data.labels,
            recipe,
            after_epoch=after_epoch,
            checkpoint=checkpoint,
            gate=work.lock.shared,
            on_epoch=report,
            on_step=partial(work.watcher.step, stage),
            still=still,
            teacher=teacher,
            live=live,
            validate=partial(_validation_mean_ap, work, data),
        )
    finally:
        model.to("cpu")
    return [dataclasses.asdict(epoch) for epoch in curve]


def _build(config: TrialConfig, data: TrialData, weights: str | None) -> ReIDNetwork:
    torch.manual_seed(config.seed)
    options = dataclasses.asdict(network_options(config))
    return build(config.backbone, data.num_classes, weights=weights, **options)


def _validation_mean_ap(work: Workshop, data: TrialData, model: nn.Module) -> float:
    def embed_finite(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = embed(model, images)
        if not np.isfinite(found).all():
            # Statistics of the batch normalisation lag behind, so weights and loss may still look well.
            raise TrainingDiverged(
                "embeddings of validation images are not finite; lower learning_rate, set clip_norm or set "
                "precision to fp32"
            )
        return found

    return evaluate(
        embed_finite, data.query, data.query_images, data.gallery, data.gallery_images,
        gate=work.lock.shared,
    ).mAP  # fmt: skip


def _line(stage: str, epoch: EpochReport, epochs: int) -> str:
    measured = "" if epoch.val_mAP is None else f", validation mAP {epoch.val_mAP:.4f}"
    speed = f"{epoch.images_per_second:.0f} images/s"
    return f"{stage}: epoch {epoch.epoch + 1}/{epochs}: loss {epoch.loss:.3f}{measured}, {speed}"
