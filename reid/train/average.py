"""A moving average of the weights of a network in training."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from reid.train.recipe import Recipe

__all__ = ["Average", "first_averaged_epoch"]


def first_averaged_epoch(recipe: Recipe) -> int:
    """Epoch, counted from 0, with whose first step averaging begins; `recipe.epochs` where there is none."""
    return int(recipe.ema_start * recipe.epochs) if recipe.ema_decay else recipe.epochs


class Average:
    """Exponential moving average of a network's weights, begun with those after its first step.

    Source: Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, UAI 2018,
    section 3.2 (statistics of batch normalisation are estimated anew); Tarvainen and Valpola, Mean teachers are
    better role models, NeurIPS 2017, section 2 (exponential weights).

    Attributes:
        steps: steps averaged so far.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._averaged = AveragedModel(model, multi_avg_fn=average)

    @property
    def steps(self) -> int:
        """Steps averaged so far."""
        return int(self._averaged.n_averaged)

    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self._averaged.update_parameters(model)

    def settle(self, batches: Iterable[Tensor], dtype: torch.dtype | None) -> nn.Module:
        """The averaged network, its batch normalisation re-estimated on `batches`.

        Args:
            batches: (B, 3, H, W) normalised training images.
            dtype: of autocast, or None for float32.

        Returns:
            A network that the next `update` changes.
        """
        network = self._averaged.module
        device = next(network.parameters()).device.type
        with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
            update_bn(batches, network)
        return network

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that later updates depend on."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict`."""
        self._averaged.load_state_dict(state)
