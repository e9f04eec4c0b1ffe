"""Step 2: the dense network, trained once and shared by every trial with the same recipe."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from reid.config import TrialConfig
from reid.files import read_json, remove_tree, sha256_of, write_json, write_with
from reid.models import ReIDNetwork, build, load_weights
from reid.steps.data import TrialData
from reid.steps.workshop import Workshop
from reid.train import EpochReport, Recipe, train

__all__ = ["Network", "dense_skeleton", "fit", "recipe_parameters", "train_dense"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A trained network and the content key of its weights."""

    model: ReIDNetwork
    key: str


def dense_skeleton(config: TrialConfig, data: TrialData) -> ReIDNetwork:
    """The dense network with random weights, the same for the same seed."""
    torch.manual_seed(config.seed)
    return build(config.backbone, data.num_classes)


def train_dense(work: Workshop, data: TrialData) -> Network:
    """The dense fp32 network at the trial's input size, out of the cache where another trial trained it."""
    config = work.config

    def compute(folder: Path) -> None:
        torch.manual_seed(config.seed)
        model = build(config.backbone, data.num_classes, weights=config.weights)
        curve = fit(work, model, data, config.epochs, config.learning_rate, folder / "epoch.ckpt")
        write_with(folder / "model.safetensors", lambda path: save_file(model.state_dict(), path))
        write_json(folder / "curve.json", curve)

    parameters = {
        "backbone": config.backbone,
        "weights": sha256_of(Path(config.weights)) if config.weights else None,
        "epochs": config.epochs,
        "recipe": recipe_parameters(config, config.learning_rate),
    }
    folder, key = work.stage("dense", 1, parameters, (data.key,), compute)
    work.curves += [{"stage": "dense", **epoch} for epoch in read_json(folder / "curve.json")]
    model = dense_skeleton(config, data)
    load_weights(model, folder / "model.safetensors")
    return Network(model=model, key=key)


def recipe_parameters(config: TrialConfig, learning_rate: float) -> dict[str, Any]:
    """What decides the outcome of a training besides its data, start and length."""
    return {
        "loss": config.loss,
        "learning_rate": learning_rate,
        "warmup_epochs": config.warmup_epochs,
        "identities_per_batch": config.identities_per_batch,
        "images_per_identity": config.images_per_identity,
        "precision": config.precision,
        "seed": config.seed,
    }


def fit(
    work: Workshop,
    model: ReIDNetwork,
    data: TrialData,
    epochs: int,
    learning_rate: float,
    checkpoint: Path,
    after_epoch: Callable[[nn.Module, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Train `model` in place under the device lock; resumes from `checkpoint` and removes it at the end."""
    if epochs == 0:
        return []
    config = work.config
    recipe = Recipe(epochs=epochs, **recipe_parameters(config, learning_rate))

    def report(epoch: EpochReport) -> None:
        work.say(
            f"epoch {epoch.epoch + 1}/{epochs}: loss {epoch.loss:.3f}, {epoch.images_per_second:.0f} images/s"
        )

    curve = train(
        model,
        data.images,
        data.labels,
        recipe,
        after_epoch=after_epoch,
        checkpoint=checkpoint,
        gate=work.lock.shared,
        on_epoch=report,
    )
    remove_tree(checkpoint)
    return [asdict(epoch) for epoch in curve]
