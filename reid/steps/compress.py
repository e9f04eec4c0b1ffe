"""Steps 3 to 5: prune softly while training goes on, slim, finetune."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from reid.config import TrialConfig
from reid.errors import ArtifactError
from reid.files import read_json, write_json
from reid.models import layer_widths
from reid.prune import METHODS, PrunePlan, Pruner, load_slim, planned, save_slim, slim, slim_difference
from reid.steps.data import TrialData
from reid.steps.dense import Network, dense_skeleton, fit, stage_parameters
from reid.steps.workshop import Workshop
from reid.train import normalise_batch

__all__ = ["Slimmed", "compress", "rounding", "slim_as_planned"]

MAX_SLIM_DIFFERENCE = 1e-4
"""Largest difference between the embeddings of the slim and the masked network (DESIGN: equality invariant)."""
CHECK_IMAGES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Slimmed(Network):
    """A physically smaller network and the plan that made it."""

    plan: PrunePlan


def rounding(config: TrialConfig) -> int:
    """Multiple that kept channel counts are rounded up to: as asked, else what the target's kernels like.

    16 fills an AVX-512 register with float32; one channel more than a multiple cost up to 49 % there.
    """
    if config.round_to is not None:
        return config.round_to
    return 8 if config.target.device.startswith("cuda") else 16


def slim_as_planned(config: TrialConfig, dense: Network) -> Slimmed:
    """The network with its final channel counts and the dense weights: enough to know its latency and size."""
    plan = planned(dense.model, config, round_to=rounding(config))
    return Slimmed(model=slim(dense.model, plan), key=dense.key, plan=plan)


def compress(work: Workshop, data: TrialData, dense: Network) -> Slimmed:
    """Prune, slim and finetune `dense`, which is left as it is.

    Raises:
        ArtifactError: the slim network does not do what the masked one does.
    """
    slimmed = _finetune(work, data, _prune(work, data, dense), dense)
    after = layer_widths(slimmed.model)
    work.checks["widths"] = {
        layer: [width, after[layer]] for layer, width in layer_widths(dense.model).items() if layer in after
    }
    return slimmed


def _prune(work: Workshop, data: TrialData, dense: Network) -> Slimmed:
    config = work.config

    def compute(folder: Path) -> None:
        model = dense_skeleton(config, data)
        model.load_state_dict(dense.model.state_dict())
        with work.lock.shared():
            pruner = METHODS[config.method](model, config, round_to=rounding(config))
        after_epoch = partial(_gated_step, work, pruner)
        curve = fit(work, model, data, "prune", folder / "epoch.ckpt", after_epoch=after_epoch, dense=dense)
        with work.lock.shared():
            plan = pruner.finish(model)
            slimmed = slim(model, plan)
            images = normalise_batch(data.query_images[:CHECK_IMAGES])
            difference = slim_difference(model, slimmed, plan, images)
        if not difference <= MAX_SLIM_DIFFERENCE:
            raise ArtifactError(
                f"slim and masked embeddings of {config.backbone} differ by {difference:.2g}, "
                f"more than {MAX_SLIM_DIFFERENCE:g}"
            )
        save_slim(slimmed, plan, folder)
        write_json(folder / "curve.json", curve)
        write_json(folder / "checks.json", {"slim_max_abs_difference": difference})

    parameters = {
        "method": config.method,
        "prune_rate": config.prune_rate,
        "decay_rate": config.decay_rate,
        "knn": config.knn,
        "max_layer_rate": config.max_layer_rate,
        "efficient": config.efficient,
        "scope": config.scope,
        "round_to": rounding(config),
        **stage_parameters(config, "prune"),
    }
    folder, key = work.stage("prune", 2, parameters, (dense.key,), compute)
    work.checks |= read_json(folder / "checks.json")
    return _reload(work, data, folder, key, "prune")


def _gated_step(work: Workshop, pruner: Pruner, model: nn.Module, epoch: int) -> None:
    with work.lock.shared():
        pruner.step(model, epoch)


def _finetune(work: Workshop, data: TrialData, pruned: Slimmed, dense: Network) -> Slimmed:
    def compute(folder: Path) -> None:
        curve = fit(work, pruned.model, data, "finetune", folder / "epoch.ckpt", dense=dense)
        save_slim(pruned.model, pruned.plan, folder)
        write_json(folder / "curve.json", curve)

    parameters = stage_parameters(work.config, "finetune")
    folder, key = work.stage("finetune", 2, parameters, (pruned.key,), compute)
    return _reload(work, data, folder, key, "finetune")


def _reload(work: Workshop, data: TrialData, folder: Path, key: str, stage: str) -> Slimmed:
    work.curves += [{"stage": stage, **epoch} for epoch in read_json(folder / "curve.json")]
    model, plan = load_slim(lambda: dense_skeleton(work.config, data), folder)
    return Slimmed(model=model, key=key, plan=plan)
