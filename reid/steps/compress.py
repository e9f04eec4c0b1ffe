"""Steps 3 to 5: say how much each layer loses, prune, slim and finetune, in one round or several."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from reid.config import TrialConfig
from reid.errors import ArtifactError
from reid.files import read_json, write_json
from reid.models import layer_widths
from reid.prune import (
    PrunePlan,
    Pruner,
    compose,
    find_units,
    load_slim,
    planned,
    prune_parameters,
    round_rates,
    save_slim,
    slim,
    slim_difference,
    slim_tolerance,
    unit_rates,
)
from reid.steps.budget import budget_parameters, rates_within_budget
from reid.steps.data import TrialData
from reid.steps.dense import Network, dense_skeleton, fit, stage_parameters
from reid.steps.practice import decided_by_nni, practice_parameters
from reid.steps.workshop import CHECKPOINT, Workshop
from reid.train import normalise_batch

__all__ = ["Slimmed", "allocate", "compress", "rounding", "slim_as_planned"]

CHECK_IMAGES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Slimmed(Network):
    """A physically smaller network, and the plan by which the dense one becomes it."""

    plan: PrunePlan


def rounding(config: TrialConfig) -> int:
    """Multiple that kept channel counts are rounded up to: as asked, else what the target's kernels like.

    16 fills an AVX-512 register with float32; one channel more than a multiple cost up to 49 % there.
    """
    if config.round_to is not None:
        return config.round_to
    return 8 if config.target.device.startswith("cuda") else 16


def allocate(work: Workshop, dense: Network) -> dict[str, float]:
    """Share of its channels that each unit of the dense network loses in the end."""
    config = work.config
    by_budget = config.allocate == "latency"

    def compute(folder: Path) -> None:
        if by_budget:
            found = dataclasses.asdict(rates_within_budget(work, dense.model, rounding(config)))
            write_json(folder / "rates.json", found.pop("rates"))
            write_json(folder / "allocation.json", found)
        else:
            with work.lock.shared():
                write_json(folder / "rates.json", unit_rates(dense.model, config))

    names = ("method", "allocate", "prune_rate", "knn", "max_layer_rate", "scope")
    parameters = {name: getattr(config, name) for name in names}
    if by_budget:
        if config.latency_budget or config.macs_budget:
            del parameters["prune_rate"]  # no use is made of it
        parameters |= {"round_to": rounding(config), "seed": config.seed, **budget_parameters(config)}
    folder, _ = work.stage("allocate", 3, parameters, (dense.key,), compute)
    if by_budget:
        work.checks["allocation"] = read_json(folder / "allocation.json")
    rates: dict[str, float] = read_json(folder / "rates.json")
    return rates


def slim_as_planned(config: TrialConfig, dense: Network, rates: Mapping[str, float]) -> Slimmed:
    """The network with its final channel counts and the dense weights: enough to know its latency and size."""
    plan = planned(dense.model, config, rates=rates, round_to=rounding(config))
    return Slimmed(model=slim(dense.model, plan), key=dense.key, plan=plan)


def compress(work: Workshop, data: TrialData, dense: Network, rates: Mapping[str, float]) -> Slimmed:
    """Prune, slim and finetune `dense`, which is left as it is.

    Args:
        work: the trial.
        data: training images.
        dense: trained.
        rates: from `allocate`.

    Raises:
        ArtifactError: the slim network does not do what the masked one does.
    """
    slimmed = Slimmed(model=dense.model, key=dense.key, plan=PrunePlan(units=(), kept={}))
    for number in range(work.config.prune_rounds):
        slimmed = _finetune(work, data, _prune(work, data, slimmed, dense, rates, number), dense)
    after = layer_widths(slimmed.model)
    work.checks["widths"] = {
        layer: [width, after[layer]] for layer, width in layer_widths(dense.model).items() if layer in after
    }
    return slimmed


def _prune(
    work: Workshop,
    data: TrialData,
    before: Slimmed,
    dense: Network,
    rates: Mapping[str, float],
    number: int,
) -> Slimmed:
    config = work.config

    def compute(folder: Path) -> None:
        model = slim(dense_skeleton(config, data), before.plan)
        model.load_state_dict(before.model.state_dict())
        with work.lock.shared():
            own_rates, round_to = _rates_of_round(config, model, rates, before.plan, number)
            pruner = Pruner(model, config, own_rates, round_to=round_to)
        after_epoch = partial(_gated_step, work, pruner)
        curve = fit(
            work,
            model,
            data,
            "prune",
            folder / CHECKPOINT,
            after_epoch=after_epoch,
            still=pruner.still,
            dense=dense,
        )
        decided = decided_by_nni(work, data, model, pruner.units, own_rates, round_to, dense)
        with work.lock.shared():
            plan = pruner.finish(model, decided)
            slimmed = slim(model, plan)
            images = normalise_batch(data.query_images[:CHECK_IMAGES])
            difference = slim_difference(model, slimmed, plan, images)
            most = slim_tolerance(model, images)
        if not difference <= most:
            raise ArtifactError(
                f"slim and masked embeddings of {config.backbone} differ by {difference:.2g}, more than {most:g}"
            )
        save_slim(slimmed, compose(before.plan, plan), folder)
        write_json(folder / "curve.json", curve)
        write_json(folder / "checks.json", {"slim_max_abs_difference": difference})

    parameters = prune_parameters(config) | {
        "round_to": rounding(config),
        "round": number,
        "rates": dict(rates),
        **stage_parameters(config, "prune"),
        **practice_parameters(config),
    }
    folder, key = work.stage("prune", 5, parameters, (before.key,), compute)
    work.checks |= read_json(folder / "checks.json")
    return _reload(work, data, folder, key, "prune")


def _rates_of_round(
    config: TrialConfig, model: nn.Module, rates: Mapping[str, float], plan: PrunePlan, number: int
) -> tuple[Mapping[str, float], int]:
    """What each unit of the present network loses, and the multiple that its kept count is rounded up to."""
    if config.prune_rounds == 1:
        return rates, rounding(config)
    dense_widths = {unit.name: unit.width for unit in plan.units or find_units(model, config.scope)}  # type: ignore[arg-type]
    return round_rates(dense_widths, rates, number, config.prune_rounds, rounding(config)), 1


def _gated_step(work: Workshop, pruner: Pruner, model: nn.Module, epoch: int) -> None:
    with work.lock.shared():
        pruner.step(model, epoch)


def _finetune(work: Workshop, data: TrialData, pruned: Slimmed, dense: Network) -> Slimmed:
    def compute(folder: Path) -> None:
        curve = fit(work, pruned.model, data, "finetune", folder / CHECKPOINT, dense=dense)
        save_slim(pruned.model, pruned.plan, folder)
        write_json(folder / "curve.json", curve)

    parameters = stage_parameters(work.config, "finetune")
    folder, key = work.stage("finetune", 2, parameters, (pruned.key,), compute)
    return _reload(work, data, folder, key, "finetune")


def _reload(work: Workshop, data: TrialData, folder: Path, key: str, stage: str) -> Slimmed:
    work.curves += [{"stage": stage, **epoch} for epoch in read_json(folder / "curve.json")]
    model, plan = load_slim(lambda: dense_skeleton(work.config, data), folder)
    return Slimmed(model=model, key=key, plan=plan)
