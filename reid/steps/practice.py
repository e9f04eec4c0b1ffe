"""Part of step 3: what NNI's pruners decide, with training steps on a copy where they want some."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.config import TrialConfig
from reid.losses import needs_teacher
from reid.models import ReIDNetwork
from reid.prune import PrunePlan, PruneUnit, method_of, nni_plan
from reid.steps.data import TrialData
from reid.steps.dense import recipe_of
from reid.steps.teach import Trained, teach, teacher_parameters, training_device, watch
from reid.steps.workshop import Workshop
from reid.train.sampler import epoch_batches
from reid.train.stepper import Stepper, seeded

__all__ = ["decided_by_nni", "practice_parameters"]


def practice_parameters(config: TrialConfig) -> dict[str, Any]:
    """What decides NNI's choice besides the network and the rates, as JSON values; nothing for our own methods."""
    if config.method == "none" or method_of(config).nni is None:
        return {}
    recipe = recipe_of(config, "finetune")
    teacher = teacher_parameters(config) if needs_teacher(recipe.loss) else {}
    return {"practice": {"version": 2, "recipe": recipe.to_dict(), "teacher": teacher}}


def decided_by_nni(
    work: Workshop,
    data: TrialData,
    model: ReIDNetwork,
    units: Sequence[PruneUnit],
    rates: Mapping[str, float],
    round_to: int,
    dense: Trained,
) -> PrunePlan | None:
    """The plan of the trial's NNI method; None where the method is one of our own.

    Args:
        work: the trial.
        data: training images.
        model: that is pruned; left as it is.
        units: of `model`.
        rates: by unit name.
        round_to: as for `reid.prune.kept_count`.
        dense: the dense network, which may be the teacher.

    Raises:
        ConfigError: NNI is not installed, or its method does not suit the network.
    """
    config = work.config
    if config.method == "none" or (pruner := method_of(config).nni) is None:
        return None
    practise = partial(_Practice, work, data, dense)
    with seeded(config.seed, 0, torch.device("cpu")):
        return nni_plan(model, units, rates, pruner=pruner, round_to=round_to, practise=practise)


class _Practice:
    """Finetuning steps of a copy, each inside the device lock; what the loss holds is trained beforehand."""

    def __init__(self, work: Workshop, data: TrialData, dense: Trained, twin: nn.Module) -> None:
        assert isinstance(twin, ReIDNetwork)
        config = work.config
        recipe = recipe_of(config, "finetune")
        teacher = teach(work, data, loss=recipe.loss, dense=dense)
        live = watch(config, data, recipe.loss, dense)
        twin.to(training_device()).train()
        self.steps, self.learning_rate = config.nni_steps, config.finetune_learning_rate
        self._stepper = Stepper(
            twin,
            data.images,
            data.labels,
            recipe,
            work.lock.shared,
            teacher,
            live,
            lambda progress: None,
        )
        self._generator = torch.Generator().manual_seed(config.seed)
        self._settle_loss(twin)

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """Epoch after epoch; the device is held until the next batch is asked for."""
        for batch in self._rows():
            with self._stepper.gate():
                yield batch

    def loss(self, batch: NDArray[np.int64]) -> Tensor:
        """Of the recipe that finetunes the network."""
        terms = self._stepper.terms(batch, self._generator)
        return torch.stack(list(terms.values())).sum()

    def _settle_loss(self, twin: nn.Module) -> None:
        """Train what the loss holds by itself, such as a vector for each identity, while the network stays.

        NNI moves the network only, and gradients towards random vectors would choose its filters by chance.
        """
        stepper = self._stepper
        if not list(stepper.loss.parameters()):
            return
        moving = [parameter for parameter in twin.parameters() if parameter.requires_grad]
        for parameter in moving:
            parameter.requires_grad_(False)
        for number, batch in zip(range(self.steps), self._rows(), strict=False):
            with stepper.gate():
                stepper.step(
                    batch, self.learning_rate, self._generator, f"practice of the loss, step {number}"
                )
        for parameter in moving:
            parameter.requires_grad_(True)

    def _rows(self) -> Iterator[NDArray[np.int64]]:
        for epoch in count():
            yield from epoch_batches(self._stepper.labels, self._stepper.recipe, epoch)
