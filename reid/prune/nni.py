"""Masks of NNI's pruners: NNI decides which filters go, our plan and slimming carry it out.

NNI is an extra (`pip install -c constraints.txt -e '.[nni]'`) and imported when a method names it. Its own slimming
(`ModelSpeedup`) does not run on torch 2.2 and later, and is not used.
"""

import copy
import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.prune.plan import PrunePlan, kept_count
from reid.prune.units import PruneUnit

__all__ = ["Practice", "demand_nni", "nni_plan"]

_AGP_TIMES = 10
_SLIM_SCALE = 1.0
_BASIC = {"l1": "L1NormPruner", "l2": "L2NormPruner", "fpgm": "FPGMPruner"}


class Practice(Protocol):
    """Training steps that a pruner may take with a copy of the network."""

    steps: int
    learning_rate: float

    def batches(self) -> Iterator[Any]:
        """Batches without end, each to be handed to `loss`."""
        ...

    def loss(self, batch: Any) -> Tensor:
        """Loss of the copy that the practice was made for."""
        ...


def demand_nni() -> ModuleType:
    """The package `nni.compression`.

    Raises:
        ConfigError: it is not installed, or does not load here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("nni.compression.pruning")
            return importlib.import_module("nni.compression")
    except ImportError as error:
        raise ConfigError(
            f"methods nni-... need NNI: pip install -c constraints.txt -e '.[nni]' ({error}); "
            "or name a method of our own"
        ) from error


def nni_plan(
    model: nn.Module,
    units: Sequence[PruneUnit],
    rates: Mapping[str, float],
    *,
    pruner: str,
    round_to: int,
    practise: Callable[[nn.Module], Practice],
) -> PrunePlan:
    """Choose the channels that stay by one of NNI's pruners.

    Args:
        model: network that `units` were found in; left as it is, NNI works on a copy.
        units: from `reid.prune.find_units`; NNI is told that the layers of a unit depend on each other.
        rates: by unit name, 0 <= rate < 1.
        pruner: "l1", "l2", "fpgm", "taylor", "slim" or "agp".
        round_to: as for `kept_count`.
        practise: gives the training steps of a copy; asked by "taylor", "slim" and "agp" only.

    Raises:
        ConfigError: NNI is not installed, "slim" meets a unit without batch normalisation, or a layer's filters are of
            several units.
    """
    demand_nni()
    twin = copy.deepcopy(model)
    counts = {unit.name: kept_count(unit.width, rates[unit.name], round_to) for unit in units}
    pruned = [unit for unit in units if counts[unit.name] < unit.width]
    kept = {unit.name: tuple(range(unit.width)) for unit in units}
    if pruned:
        layers = {unit.name: _judged_layers(unit, pruner) for unit in pruned}
        masks = _masks(twin, _config_list(pruned, counts, layers), pruner, practise)
        for unit in pruned:
            mask = (
                masks[layers[unit.name][0]]["weight"].flatten(1).amax(1)
                if pruner != "slim"
                else (masks[layers[unit.name][0]]["weight"])
            )
            kept[unit.name] = tuple(mask.flatten().nonzero().flatten().tolist())
    return PrunePlan(units=tuple(units), kept=kept)


def _judged_layers(unit: PruneUnit, pruner: str) -> tuple[str, ...]:
    layers = unit.norms if pruner == "slim" else unit.convs
    if shared := [layer for layer in layers if layer in unit.spans]:
        raise ConfigError(
            f"NNI judges whole layers, and {shared[0]} is split among units; name a method of our own"
        )
    if pruner != "slim":
        return unit.convs
    if not unit.norms:
        raise ConfigError(
            f"nni-slim judges batch normalisations and {unit.name} has none; name another method"
        )
    return unit.norms


def _config_list(
    units: Sequence[PruneUnit], counts: Mapping[str, int], layers: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    return [
        {
            "op_names": list(layers[unit.name]),
            "target_names": ["weight"],
            # NNI rounds the number of removed filters down; the half keeps a rounding error from costing one.
            "sparse_ratio": (unit.width - counts[unit.name] + 0.5) / unit.width,
            "target_settings": {"weight": {"dependency_group_id": unit.name}},
        }
        for unit in units
    ]


def _masks(
    twin: nn.Module, config: list[dict[str, Any]], pruner: str, practise: Callable[[nn.Module], Practice]
) -> dict[str, dict[str, Tensor]]:
    pruning = importlib.import_module("nni.compression.pruning")
    if pruner in _BASIC:
        _, masks = getattr(pruning, _BASIC[pruner])(twin, config).compress()
        return cast(dict[str, dict[str, Tensor]], masks)
    practice = practise(twin)
    # Taylor's criterion looks at gradients and must not move the weights.
    evaluator = _evaluator(twin, practice, 0.0 if pruner == "taylor" else practice.learning_rate)
    if pruner == "taylor":
        _, masks = pruning.TaylorPruner(twin, config, evaluator, training_steps=practice.steps).compress()
    elif pruner == "slim":
        slim = pruning.SlimPruner(
            twin, config, evaluator, training_steps=practice.steps, regular_scale=_SLIM_SCALE
        )
        _, masks = slim.compress()
    else:
        interval = max(1, practice.steps // _AGP_TIMES)
        agp = pruning.AGPPruner(pruning.L1NormPruner(twin, config, evaluator), interval, _AGP_TIMES)
        _, masks = agp.compress(max_steps=interval * _AGP_TIMES, max_epochs=None)
    return cast(dict[str, dict[str, Tensor]], masks)


def _evaluator(twin: nn.Module, practice: Practice, learning_rate: float) -> Any:
    nni = importlib.import_module("nni")
    utils = importlib.import_module("nni.compression.utils")

    def training_step(batch: Any, model: nn.Module) -> Tensor:
        return practice.loss(batch)

    def training(
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        step: Callable[[Any, nn.Module], Tensor],
        lr_schedulers: object = None,
        max_steps: int | None = None,
        max_epochs: int | None = None,
    ) -> None:
        for _, batch in zip(range(max_steps or practice.steps), practice.batches(), strict=False):
            optimizer.zero_grad()
            step(batch, model).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    optimizer = nni.trace(torch.optim.SGD)(twin.parameters(), lr=learning_rate, momentum=0.9)
    return utils.TorchEvaluator(training, optimizer, training_step)
