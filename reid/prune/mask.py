"""Soft pruning: channels fade out of the dense network, which goes on training."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from reid.prune.plan import PrunePlan
from reid.prune.units import PruneUnit

__all__ = ["decay"]


def decay(
    model: nn.Module, units: Sequence[PruneUnit], plan: PrunePlan, factor: float, *, norms: bool = True
) -> None:
    """Multiply the filters that the plan removes, and their batch normalisation, by `factor`, in place.

    Running statistics stay. With factor 0 the channels are exactly zero wherever they are read, in training
    and in eval mode, and so are the removed dimensions of a narrowed embedding.

    Args:
        model: dense network; convolutions lose weight and bias, normalisations likewise.
        units: those of the plan to treat.
        plan: what is removed.
        factor: what remains, in [0, 1].
        norms: whether the normalisation is treated too; without it removed channels are constants, not zero.

    Raises:
        ConfigError: the plan does not fit `model`, which is then left as it was.

    Source: BAFD, filter decay; factor 0 is soft filter pruning (He et al., IJCAI 2018, section 3.2).
    """
    plan.validate(model)
    with torch.no_grad():
        for unit in units:
            removed = torch.tensor(plan.removed(unit), dtype=torch.long)
            for name in (*unit.convs, *(unit.norms if norms else ())):
                layer = model.get_submodule(name)
                for parameter in (layer.weight, layer.bias):
                    if parameter is not None:
                        _scale_rows(cast(Tensor, parameter), removed + unit.span(name).first, factor)


def _scale_rows(parameter: Tensor, rows: Tensor, factor: float) -> None:
    rows = rows.to(parameter.device)
    parameter.index_copy_(0, rows, parameter.index_select(0, rows) * factor)
