"""One step after the other: the part of a training that computes."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.errors import NotHere, TrainingDiverged
from reid.losses import LossContext, LossInput, build_loss
from reid.memory import memory_errors
from reid.models import ReIDNetwork
from reid.train.augment import augment, vary
from reid.train.average import Average, first_averaged_epoch
from reid.train.optimizer import build_optimizer, moving_parameters, set_rate
from reid.train.precision import autocast_type
from reid.train.recipe import EpochReport, Progress, Recipe
from reid.train.sampler import epoch_batches
from reid.train.schedule import learning_rate
from reid.train.variants import Variants, drawn_variants

__all__ = ["Stepper", "seeded"]


class Stepper:
    """Network, loss, optimizer and average of one training.

    Attributes:
        parts: network and loss, whose parameters are trained together.
        optimizer: of `parts`.
        scaler: of the loss in float16; does nothing otherwise.
        average: of the weights, or None before it begins.

    Args:
        model: in training mode, on its device.
        images: (N, H, W, 3) uint8.
        labels: (N,) int64.
        recipe: what to do.
        gate: entered around every step.
        teacher: (N, T) or (N, V, T) float32 or None.
        live: as for `reid.train.train`.
        on_step: told after every step.
        still: entered around every step of the optimizer.
    """

    def __init__(
        self,
        model: ReIDNetwork,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        recipe: Recipe,
        gate: Callable[[], AbstractContextManager[None]],
        teacher: NDArray[np.float32] | None,
        live: Callable[[Tensor], Tensor] | None,
        on_step: Callable[[Progress], None],
        still: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.model, self.images, self.labels, self.recipe = model, images, labels, recipe
        self.gate, self.teacher, self.live, self.on_step, self.still = gate, teacher, live, on_step, still
        self.device = next(model.parameters()).device
        with seeded(recipe.seed, 0, self.device):
            self.loss = build_loss(recipe.loss, self._loss_context()).to(self.device)
        self.parts = nn.ModuleDict({"model": model, "loss": self.loss})
        self.optimizer = build_optimizer(model, self.loss, recipe)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "fp16")
        self.average: Average | None = None

    def begin_average(self) -> Average:
        """Start averaging with the weights after the next step."""
        self.average = Average(self.model, self.recipe.ema_decay)
        return self.average

    def epoch(self, epoch: int) -> EpochReport:
        """Train through all batches of an epoch."""
        recipe, started, busy_s, rate = self.recipe, time.perf_counter(), 0.0, 0.0
        losses: list[dict[str, float]] = []
        batches = epoch_batches(self.labels, recipe, epoch)
        generator = torch.Generator().manual_seed(_epoch_seed(recipe.seed, epoch))
        if self.average is None and epoch >= first_averaged_epoch(recipe):
            self.begin_average()
        for step, batch in enumerate(batches):
            where = f"epoch {epoch + 1} of {recipe.epochs}, step {step + 1} of {len(batches)}"
            rate = learning_rate(recipe, epoch * len(batches) + step, len(batches))
            with self.gate(), memory_errors(f"training on {len(batch)} images in {where}"):
                entered = time.perf_counter()
                losses.append(self.step(batch, rate, generator, where))
                step_s = time.perf_counter() - entered
            busy_s += step_s
            self.on_step(
                Progress(
                    epoch=epoch,
                    epochs=recipe.epochs,
                    step=step + 1,
                    steps=len(batches),
                    loss=sum(losses[-1].values()),
                    images_per_second=len(batch) / step_s,
                )
            )
        return EpochReport(
            epoch=epoch,
            loss=float(np.mean([sum(terms.values()) for terms in losses])),
            terms={name: float(np.mean([terms[name] for terms in losses])) for name in losses[0]},
            images_per_second=sum(map(len, batches)) / busy_s,
            seconds=time.perf_counter() - started,
            learning_rate=rate,
        )

    def step(
        self, batch: NDArray[np.int64], rate: float, generator: torch.Generator, where: str
    ) -> dict[str, float]:
        """Train on the images `batch` names; gives the terms of the loss.

        Raises:
            TrainingDiverged: the loss is NaN or infinite; names `where`.
        """
        terms = self.terms(batch, generator)
        names, values = list(terms), torch.stack(list(terms.values()))
        self._descend(values.sum(), rate)
        # Waits for the device, so that none of the step runs on when the gate is left.
        numbers = values.detach().tolist()
        if not math.isfinite(sum(numbers)):
            raise TrainingDiverged(
                f"loss is {sum(numbers)} in {where}; lower learning_rate, set clip_norm or set precision to fp32"
            )
        return dict(zip(names, numbers, strict=True))

    def terms(self, batch: NDArray[np.int64], generator: torch.Generator) -> dict[str, Tensor]:
        """Terms of the loss on the images `batch` names, augmented; their sum is what a step descends."""
        images, taught = self._lesson(batch, generator)
        labels = self._on_device(self.labels[batch])
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            output = self.forward(images)
        # Distances and logarithms lose too much in half the bits.
        feature, embedding, logits = (part.float() for part in output)
        return self.loss(  # type: ignore[no-any-return]
            LossInput(
                feature=feature,
                embedding=embedding,
                logits=logits,
                labels=labels,
                teacher=taught,
            )
        )

    def averaged(self, epoch: int) -> nn.Module:
        """The averaged network after `epoch`, its statistics taken from the training images once over."""
        assert self.average is not None
        return self.average.settle(self._plain_batches(epoch), self.dtype)

    @cached_property
    def dtype(self) -> torch.dtype | None:
        """Of autocast; asks the network, hence only inside the gate of the first step."""
        _, height, width, _ = self.images.shape
        return autocast_type(self.model, (height, width), self.recipe.precision)

    @cached_property
    def drawn(self) -> Variants | None:
        """View v of image i in row i x V + v, where the teacher embedded V views of each image."""
        if self.teacher is None or self.teacher.ndim == 2:
            return None
        count, views, _ = self.teacher.shape
        _, height, width, _ = self.images.shape
        return drawn_variants(count, views, (height, width), self.recipe)

    @cached_property
    def forward(self) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """The network, compiled where the recipe says so."""
        return _compiled(self.model) if self.recipe.compile else self.model

    def _descend(self, loss: Tensor, rate: float) -> None:
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(moving_parameters(self.optimizer), self.recipe.clip_norm)
        with self.still():
            self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.model)

    def _lesson(self, batch: NDArray[np.int64], generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """The images `batch` names, augmented, and what the teacher makes of them."""
        plain = self._on_device(np.asarray(self.images[batch]))
        if self.drawn is not None:
            return self._drawn_lesson(plain, batch, self.drawn, generator)
        images = augment(plain, self.recipe, generator)
        if self.live is not None:
            with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
                return images, self.live(images)
        return images, None if self.teacher is None else self._on_device(np.asarray(self.teacher[batch]))

    def _drawn_lesson(
        self, plain: Tensor, batch: NDArray[np.int64], drawn: Variants, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """One of the views of each image, mirrored or not, and the teacher's embedding of that view."""
        assert self.teacher is not None, "views are drawn for a teacher"
        views = self.teacher.shape[1]
        which = torch.randint(views, (len(batch),), generator=generator)
        images = vary(plain, drawn.take(torch.from_numpy(batch) * views + which), self.recipe)
        mirrored = torch.rand(len(batch), generator=generator) < self.recipe.flip
        images = torch.where(mirrored.to(self.device)[:, None, None, None], images.flip(3), images)
        return images, self._on_device(np.asarray(self.teacher[batch, which.numpy()]))

    def _plain_batches(self, epoch: int) -> Iterator[Tensor]:
        # Blends have less contrast than the images that the network will see.
        recipe = replace(self.recipe, mixup=0.0)
        generator = torch.Generator().manual_seed(_epoch_seed(self.recipe.seed, epoch))
        for batch in epoch_batches(self.labels, self.recipe, epoch):
            with self.gate():
                yield augment(self._on_device(np.asarray(self.images[batch])), recipe, generator)

    def _on_device(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _loss_context(self) -> LossContext:
        centres = None
        if self.teacher is not None:
            rows = np.asarray(self.teacher if self.teacher.ndim == 2 else self.teacher.mean(axis=1))
            centres = torch.from_numpy(_class_means(rows, self.labels))
        return LossContext(
            model=self.model,
            embedding_dim=self.model.embedding_dim,
            num_classes=int(self.labels.max()) + 1,
            label_smoothing=self.recipe.label_smoothing,
            teacher_centres=centres,
        )


def _compiled(model: nn.Module) -> Callable[[Tensor], tuple[Tensor, ...]]:
    compiled: Callable[[Tensor], tuple[Tensor, ...]] = torch.compile(model)

    def forward(images: Tensor) -> tuple[Tensor, ...]:
        try:
            return compiled(images)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            reason = " ".join(str(error).split())[:200]
            raise NotHere(f"torch.compile failed here ({reason}); set compile to false") from error

    return forward


def _class_means(rows: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean row of each label from 0 to the largest; zeros for a label that no row has."""
    means = np.zeros((int(labels.max()) + 1, rows.shape[1]), dtype=np.float32)
    np.add.at(means, labels, rows)
    means /= np.maximum(np.bincount(labels), 1)[:, np.newaxis]
    return means


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, which dropout draws from, and put them back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(_epoch_seed(seed, epoch))
        yield
