"""Training: epochs of gated steps, each epoch a function of the seed and its number."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reid.errors import ArtifactError, ConfigError
from reid.losses import parse_loss
from reid.train.augment import augment
from reid.train.checkpoint import restore, save
from reid.train.images import check_images
from reid.train.memory import memory_errors
from reid.train.precision import chooses_bf16
from reid.train.recipe import EpochReport, Recipe
from reid.train.sampler import epoch_batches
from reid.train.schedule import learning_rate

__all__ = ["train"]

_WEIGHT_DECAY = 5e-4

Gate = Callable[[], AbstractContextManager[None]]


def train(
    model: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    recipe: Recipe,
    *,
    after_epoch: Callable[[nn.Module, int], None] | None = None,
    checkpoint: Path | None = None,
    gate: Gate = nullcontext,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> tuple[EpochReport, ...]:
    """Train `model` in place, on the device where it is.

    Its mode is put back afterwards, its weights are contiguous then.

    The outcome depends on the network, the images, the labels, the recipe and `after_epoch` alone: on a CPU,
    with as many threads as before, a training that goes on from its checkpoint gives the same weights as an
    uninterrupted one, bit for bit. `after_epoch` must then be a function of network and epoch.

    Args:
        model: in training mode gives (feature, logits), as `reid.models.ReIDNetwork`.
        images: (N, H, W, 3) uint8, RGB; may be memory-mapped.
        labels: (N,) int64, identity of each image in [0, C) for logits (B, C).
        recipe: what to do.
        after_epoch: called with the network and the epoch (from 0) after each epoch, before the checkpoint
            and outside the gate; soft pruning. Torch's global generator is seeded for it.
        checkpoint: file that is rewritten after each epoch, and from which training goes on if it is there.
        gate: entered around every step; holds a device so that no timing runs beside the step.
        on_epoch: called with each report after its checkpoint is written; not called again for the epochs
            that the checkpoint holds.

    Returns:
        One report per epoch, those of the checkpoint included.

    Raises:
        ConfigError: images or labels of a wrong shape, fewer identities than P, or a checkpoint of another
            training.
        ArtifactError: the loss is NaN or infinite; names epoch and step.
        ResourceError: memory or disk ran out.
    """
    check_images(images)
    if labels.shape != (len(images),):
        raise ConfigError(f"labels must be one per image, got {labels.shape} for {len(images)} images")
    run = _Training(model, images, labels, recipe, gate)
    was_training = model.training
    _lay_out(model.train(), torch.channels_last)
    try:
        reports = restore(checkpoint, model, run.optimizer, recipe, len(images)) if checkpoint else ()
        for epoch in range(len(reports), recipe.epochs):
            with _seeded(recipe.seed, epoch, run.device):
                reports += (run.epoch(epoch),)
                if after_epoch:
                    after_epoch(model, epoch)
            if checkpoint:
                save(checkpoint, model, run.optimizer, recipe, len(images), reports)
            if on_epoch:
                on_epoch(reports[-1])
    finally:
        _lay_out(model.train(was_training), torch.contiguous_format)
    return reports


class _Training:
    def __init__(
        self,
        model: nn.Module,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        recipe: Recipe,
        gate: Gate,
    ) -> None:
        self.model, self.images, self.labels, self.recipe, self.gate = model, images, labels, recipe, gate
        self.device = next(model.parameters()).device
        self.loss = parse_loss(recipe.loss)
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(
            trainable, lr=recipe.learning_rate, weight_decay=_WEIGHT_DECAY, fused=True
        )

    @cached_property
    def bf16(self) -> bool:
        # Runs the network, hence only inside the gate of the first step.
        _, height, width, _ = self.images.shape
        return chooses_bf16(self.model, (height, width), self.recipe.precision)

    def epoch(self, epoch: int) -> EpochReport:
        recipe, started, busy_s, losses, rate = self.recipe, time.perf_counter(), 0.0, [], 0.0
        batches = epoch_batches(
            self.labels,
            recipe.identities_per_batch,
            recipe.images_per_identity,
            seed=recipe.seed,
            epoch=epoch,
        )
        generator = torch.Generator().manual_seed(_epoch_seed(recipe.seed, epoch))
        for step, batch in enumerate(batches):
            where = f"epoch {epoch + 1} of {recipe.epochs}, step {step + 1} of {len(batches)}"
            rate = learning_rate(recipe, epoch * len(batches) + step, len(batches))
            with self.gate(), memory_errors(f"training on {len(batch)} images in {where}"):
                entered = time.perf_counter()
                losses.append(self.step(batch, rate, generator, where))
                busy_s += time.perf_counter() - entered
        return EpochReport(
            epoch=epoch,
            loss=float(np.mean(losses)),
            images_per_second=sum(map(len, batches)) / busy_s,
            seconds=time.perf_counter() - started,
            learning_rate=rate,
        )

    def step(self, batch: NDArray[np.int64], rate: float, generator: torch.Generator, where: str) -> float:
        pixels = torch.from_numpy(np.asarray(self.images[batch])).to(self.device)
        labels = torch.from_numpy(self.labels[batch]).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            feature, logits = self.model(augment(pixels, generator))
        # Distances and logarithms lose too much in bfloat16.
        loss = self.loss(feature.float(), logits.float(), labels)
        value = loss.item()
        if not math.isfinite(value):
            raise ArtifactError(f"loss is {value} in {where}; lower learning_rate or set precision to fp32")
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return value


def _lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    model.to(memory_format=memory_format)  # type: ignore[call-overload]


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, which dropout draws from, and put them back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(_epoch_seed(seed, epoch))
        yield
