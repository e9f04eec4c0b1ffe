"""The state of a training between two epochs, in one file."""

import dataclasses
import logging
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid.errors import ConfigError, ResourceError
from reid.files import write_blocks, write_with
from reid.memory import lacks_memory
from reid.train.recipe import EpochReport, Recipe
from reid.train.stepper import Stepper

__all__ = ["State", "restore", "save"]

_FORMAT = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """How far a training is, besides what its `Stepper` holds.

    Attributes:
        reports: one per finished epoch.
        kept: state dict of the network that is the outcome if it is not that of the last step.
    """

    reports: tuple[EpochReport, ...] = ()
    kept: dict[str, Tensor] | None = None


def save(path: Path, run: Stepper, images: int, state: State) -> None:
    """Write everything that the rest of the training depends on, durably and all at once.

    No state of a random generator is among it: every epoch seeds its own from the recipe's seed.

    Args:
        path: replaced if it is there.
        run: after the epoch of the last report.
        images: number of training images.
        state: after that epoch.
    """
    content = {
        "format": _FORMAT,
        "task": _task(run.recipe, images),
        "model": run.parts.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "average": None if run.average is None else run.average.state_dict(),
        "reports": [dataclasses.asdict(report) for report in state.reports],
        "kept": state.kept,
    }
    buffer = BytesIO()  # torch hides why a file cannot be written
    torch.save(content, buffer)
    write_with(path, lambda temporary: write_blocks(temporary, [buffer.getbuffer()]))


def restore(path: Path, run: Stepper, images: int) -> State:
    """Put network, loss, optimizer and average back to where a checkpoint left them.

    A file that cannot be read is left aside with a warning: training from the start gives the same network.

    Args:
        path: may be absent.
        run: as it was before the first epoch; changed in place.
        images: number of training images.

    Returns:
        How far the training is; the beginning where there is no checkpoint.

    Raises:
        ConfigError: the checkpoint is of another recipe, other images or another network.
        ResourceError: the disk does not give it.
    """
    content = _read(path)
    if content is None:
        return State()
    if differences := _differences(content, run.recipe, images):
        raise ConfigError(f"checkpoint {path} is of another training ({differences}); remove it")
    try:
        run.parts.load_state_dict(content["model"])
        run.optimizer.load_state_dict(content["optimizer"])
        run.scaler.load_state_dict(content["scaler"])
        if content["average"] is not None:
            run.begin_average().load_state_dict(content["average"])
    except (RuntimeError, ValueError) as error:
        if lacks_memory(error):
            raise
        raise ConfigError(f"checkpoint {path} is of another {type(run.model).__name__}; remove it") from error
    return State(reports=tuple(EpochReport(**report) for report in content["reports"]), kept=content["kept"])


def _task(recipe: Recipe, images: int) -> dict[str, Any]:
    return recipe.to_dict() | {"images": images}


def _differences(content: dict[str, Any], recipe: Recipe, images: int) -> str:
    there, here = content["task"], _task(recipe, images)
    names = [name for name in {**here, **there} if there.get(name) != here.get(name)]
    return ", ".join(f"{name} {there.get(name)!r} there, {here.get(name)!r} here" for name in names)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ResourceError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # torch raises whatever the damaged byte leads to
        if lacks_memory(error):
            raise
        _log.warning("checkpoint %s cannot be read (%s); training from the start", path, type(error).__name__)
        return None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        _log.warning("checkpoint %s is of another version of reid-pareto; training from the start", path)
        return None
    return content
