"""Backbones by name, their weights and their size."""

import logging
from collections.abc import Callable
from pathlib import Path

from reid.config import reject_unknown
from reid.errors import ConfigError
from reid.models.network import ReIDNetwork
from reid.models.osnet import OSNetX025
from reid.models.resnet import ResNet18
from reid.models.size import ModelSize, count
from reid.models.weights import WeightReport, load_weights, read_state_dict

__all__ = [
    "BACKBONES",
    "ModelSize",
    "ReIDNetwork",
    "WeightReport",
    "build",
    "count",
    "load_weights",
    "read_state_dict",
]

_log = logging.getLogger(__name__)

BACKBONES: dict[str, Callable[[int], ReIDNetwork]] = {
    "osnet_x0_25": OSNetX025,
    "resnet18": ResNet18,
}

# What a file trained for another task or on other identities may lack; the rest must fit.
_HEAD = ("classifier.", "bottleneck.")


def build(name: str, num_classes: int, *, weights: str | Path | None = None) -> ReIDNetwork:
    """A network by name, in training mode, on the CPU.

    Args:
        name: key of `BACKBONES`.
        num_classes: identities to train on, >= 1.
        weights: file to start from, or None for random weights. A classifier of other identities, and a
            head that the file lacks, stay random; the log says so.

    Raises:
        ConfigError: unknown name, num_classes below 1, an unreadable file, or one of another backbone.
    """
    reject_unknown([name], BACKBONES, "backbone")
    if num_classes < 1:
        raise ConfigError(f"num_classes must be at least 1, got {num_classes}")
    network = BACKBONES[name](num_classes)
    if weights is not None:
        report = load_weights(network, weights)
        unfilled = [entry for entry in (*report.missing, *report.mismatched) if not entry.startswith(_HEAD)]
        if unfilled:
            raise ConfigError(
                f"weights {weights} do not fill {name}: {report}; give weights of that backbone"
            )
        if report.missing or report.mismatched:
            _log.warning("%s leaves new: %s", weights, ", ".join((*report.missing, *report.mismatched)))
    return network
