"""Backbones by name, their weights and their size."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from reid.config import reject_unknown
from reid.errors import ConfigError
from reid.models.features import ConvNeXt, DenseNet, FeatureNetwork, Swin
from reid.models.imagenet import fetch, named, weights_key
from reid.models.network import ReIDNetwork, TrainingOutput
from reid.models.options import NetworkOptions, demand_input_size, network_options
from reid.models.osnet import OSNet
from reid.models.own import OwnNetwork, code_key
from reid.models.resnet import ResNet
from reid.models.size import ModelSize, count, layer_widths
from reid.models.weights import WeightReport, copy_weights, load_weights, read_state_dict, weights_bytes
from reid.plugins import is_dotted_path

__all__ = [
    "BACKBONES",
    "ModelSize",
    "NetworkOptions",
    "OwnNetwork",
    "ReIDNetwork",
    "TrainingOutput",
    "WeightReport",
    "build",
    "build_embedder",
    "check_weights",
    "code_key",
    "count",
    "demand_backbone",
    "demand_input_size",
    "layer_widths",
    "load_weights",
    "network_options",
    "read_state_dict",
    "weights_bytes",
    "weights_key",
]

_log = logging.getLogger(__name__)

BACKBONES: dict[str, Callable[[int, NetworkOptions], ReIDNetwork]] = {
    "convnext_tiny": partial(ConvNeXt, "convnext_tiny"),
    "densenet121": partial(DenseNet, "densenet121"),
    "efficientnet_b0": partial(FeatureNetwork, "efficientnet_b0"),
    "mobilenet_v2": partial(FeatureNetwork, "mobilenet_v2"),
    "mobilenet_v3_large": partial(FeatureNetwork, "mobilenet_v3_large"),
    "mobilenet_v3_small": partial(FeatureNetwork, "mobilenet_v3_small"),
    "osnet_x0_25": partial(OSNet, 0.25),
    "osnet_x0_5": partial(OSNet, 0.5),
    "osnet_x0_75": partial(OSNet, 0.75),
    "osnet_x1_0": partial(OSNet, 1.0),
    "resnet18": partial(ResNet, "resnet18"),
    "resnet34": partial(ResNet, "resnet34"),
    "resnet50": partial(ResNet, "resnet50"),
    "resnet101": partial(ResNet, "resnet101"),
    "swin_t": partial(Swin, "swin_t"),
}

# What a file trained for another task or on other identities may lack; the rest must fit.
_HEAD = ("classifier.", "bottleneck.", "reduce.", "pool.")
# What tells one head or pooling of ours from another: without these layers the embedding is another one.
_OF_OPTIONS = ("reduce.", "pool.")
# What judges the classes of another task, and OSNet's own neck: left out by whoever asks for another head.
_CLASSIFIERS = ("classifier.", "fc.", "head.")
_NAMED = 4


def build(
    name: str,
    num_classes: int,
    *,
    weights: str | Path | None = None,
    head: str = "default",
    pooling: str = "avg",
    last_stride: int | None = None,
    ibn: bool = False,
    width: float = 1.0,
    parts: int = 6,
    drop_branches: int = 0,
    dropout: float | None = None,
    spectral: float | None = None,
) -> ReIDNetwork:
    """A network by name, in training mode, on the CPU.

    Args:
        name: key of `BACKBONES`, or "package.module:function" as for `OwnNetwork`.
        num_classes: identities to train on, >= 1.
        weights: file to start from, name of torchvision's weights ("imagenet" for those it recommends), or
            None for random weights. A classifier of other identities, and a head that the file lacks, stay
            random; the log says so, and names what else the file holds.
        head: this and what follows as in `NetworkOptions`.
        pooling: of the last map.
        last_stride: of the last stage.
        ibn: instance normalisation of half of the channels.
        width: factor on all channel counts of the body.
        parts: stripes of head "pcb".
        drop_branches: draws of a random branch update.
        dropout: before the classifier.
        spectral: temperature of the spectral feature transform.

    Raises:
        ConfigError: unknown name, a function that builds no network, num_classes below 1, an option out of range or
            not offered by the backbone, weights that cannot be read, or that are of another backbone, head or pooling.
        ResourceError: weights cannot be downloaded now.
    """
    options = NetworkOptions(
        head=head, pooling=pooling, last_stride=last_stride, ibn=ibn, width=width, parts=parts,
        drop_branches=drop_branches, dropout=dropout, spectral=spectral,
    )  # fmt: skip
    network = _constructed(name, num_classes, options)
    if weights is not None:
        _tell(_fill(network, name, weights), weights)
    return network


def build_embedder(name: str, weights: str | Path, options: NetworkOptions) -> ReIDNetwork:
    """A trained network that is to embed, in training mode, on the CPU; its classifier plays no part.

    Args:
        name: as for `build`.
        weights: as for `build`.
        options: that the network was trained with.

    Raises:
        ConfigError: as in `build`, or the file lacks layers that embeddings pass through.
        ResourceError: as in `build`.
    """
    network = _constructed(name, 1, options)
    report = _fill(network, name, weights)
    lacking = [entry for entry in (*report.missing, *report.mismatched) if entry.startswith(_OF_OPTIONS)]
    if lacking:
        raise ConfigError(
            f"weights {weights} lack {_some(lacking)}, which embeddings pass through with head {options.head} and "
            f"pooling {options.pooling}; set head and pooling as in the training"
        )
    kept = [entry for entry in (*report.missing, *report.mismatched) if not entry.startswith("classifier.")]
    _tell(dataclasses.replace(report, missing=tuple(kept), mismatched=()), weights)
    return network


def check_weights(name: str, weights: str | Path, options: NetworkOptions) -> None:
    """Refuse weights that `build` would, without a word of what they leave new.

    Args:
        name: as for `build`.
        weights: as for `build`.
        options: of the network.

    Raises:
        ConfigError: as in `build`.
        ResourceError: as in `build`.
    """
    if named(weights) and options.width == 1 and not options.ibn:
        # They fit; and who finds the trained network in a cache need not be able to download what it began with.
        return
    _fill(_constructed(name, 1, options), name, weights)


def demand_backbone(name: str, setting: str = "backbone") -> None:
    """Refuse a name that is neither one of ours nor a dotted path.

    Args:
        name: as for `build`.
        setting: that names it, for the message.

    Raises:
        ConfigError: names the known ones.
    """
    if not is_dotted_path(name):
        reject_unknown([name], BACKBONES, setting)


def _constructed(name: str, num_classes: int, options: NetworkOptions) -> ReIDNetwork:
    demand_backbone(name)
    if num_classes < 1:
        raise ConfigError(f"num_classes must be at least 1, got {num_classes}")
    options.demand_offered(name)
    constructor = partial(OwnNetwork, name) if is_dotted_path(name) else BACKBONES[name]
    return constructor(num_classes, options)


def _fill(network: ReIDNetwork, name: str, weights: str | Path) -> WeightReport:
    if named(weights):
        report = copy_weights(network, fetch(name, str(weights)), str(weights))
    else:
        report = load_weights(network, weights)
    unfilled = [entry for entry in (*report.missing, *report.mismatched) if not entry.startswith(_HEAD)]
    if unfilled:
        raise ConfigError(
            f"weights {weights} do not fill {name}: {report}; "
            "give weights of that backbone with these options"
        )
    if foreign := _of_another_head(report):
        raise ConfigError(
            f"weights {weights} were trained with another head or pooling ({', '.join(foreign[:3])} not in both); "
            "set head, parts and pooling as there, or take these entries out to begin with a new head"
        )
    return report


def _tell(report: WeightReport, weights: str | Path) -> None:
    if report.missing or report.mismatched:
        _log.warning("%s leaves new: %s", weights, ", ".join((*report.missing, *report.mismatched)))
    lost = [entry for entry in report.unexpected if not entry.startswith(_CLASSIFIERS)]
    if lost:
        _log.warning("%s holds what this network has no place for: %s", weights, _some(lost))


def _some(entries: Sequence[str]) -> str:
    more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
    return ", ".join(entries[:_NAMED]) + more


def _of_another_head(report: WeightReport) -> list[str]:
    """Entries that show that a file holds such a head and its network asks for another; a file may lack one."""
    found = []
    for part in _OF_OPTIONS:
        there = [*report.unexpected, *report.mismatched]
        if any(name.startswith(part) for name in report.loaded):
            there += report.missing
        found += [name for name in there if name.startswith(part)]
    return found
