"""The state of a training between two epochs, in one file."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reid.errors import ConfigError
from reid.files import write_with
from reid.train.recipe import EpochReport, Recipe

__all__ = ["restore", "save"]

_FORMAT = 1

_log = logging.getLogger(__name__)


def save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    images: int,
    reports: tuple[EpochReport, ...],
) -> None:
    """Write everything that the rest of the training depends on, durably and all at once.

    No state of a random generator is among it: every epoch seeds its own from the recipe's seed.

    Args:
        path: replaced if it is there.
        model: after the epoch of the last report.
        optimizer: of `model`.
        recipe: of the whole training.
        images: number of training images.
        reports: one per finished epoch.
    """
    content = {
        "format": _FORMAT,
        "task": _task(recipe, images),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "reports": [dataclasses.asdict(report) for report in reports],
    }
    write_with(path, lambda temporary: torch.save(content, temporary))


def restore(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, images: int
) -> tuple[EpochReport, ...]:
    """Put network and optimizer back to where a checkpoint left them.

    A file that cannot be read is left aside with a warning: training from the start gives the same network.

    Args:
        path: may be absent.
        model: as it was before the first epoch; changed in place.
        optimizer: of `model`; changed in place.
        recipe: of the whole training.
        images: number of training images.

    Returns:
        The reports of the finished epochs; empty when training starts at the beginning.

    Raises:
        ConfigError: the checkpoint is of another recipe, other images or another network.
    """
    content = _read(path, next(model.parameters()).device)
    if content is None:
        return ()
    if differences := _differences(content, recipe, images):
        raise ConfigError(f"checkpoint {path} is of another training ({differences}); remove it")
    try:
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"checkpoint {path} is of another {type(model).__name__}; remove it") from error
    return tuple(EpochReport(**report) for report in content["reports"])


def _task(recipe: Recipe, images: int) -> dict[str, Any]:
    return dataclasses.asdict(recipe) | {"images": images}


def _differences(content: dict[str, Any], recipe: Recipe, images: int) -> str:
    if content["format"] != _FORMAT:
        return f"format {content['format']} there, {_FORMAT} here"
    there, here = content["task"], _task(recipe, images)
    names = [name for name in here if there.get(name) != here[name]]
    return ", ".join(f"{name} {there.get(name)!r} there, {here[name]!r} here" for name in names)


def _read(path: Path, device: torch.device) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises whatever the damaged byte leads to
        _log.warning("checkpoint %s cannot be read (%s); training from the start", path, type(error).__name__)
        return None
    return content
