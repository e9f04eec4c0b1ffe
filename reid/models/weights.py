"""Reading a state dict into a network, and saying what did not fit."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from reid.errors import ConfigError, ResourceError
from reid.memory import lacks_memory
from reid.models.network import ReIDNetwork

__all__ = ["WeightReport", "copy_weights", "load_weights", "read_state_dict", "weights_bytes"]

_scalar = np.float64(0).__reduce__()[0]
# Checkpoints of Torchreid hold a figure of NumPy beside the state dict; making a number runs no code of the file.
_NUMPY_NUMBERS: list[Any] = [
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64)),
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightReport:
    """What became of the entries of a weight file.

    Attributes:
        loaded: entries copied into the network.
        missing: entries of the network that the file lacks; they keep their values.
        unexpected: entries of the file that the network lacks; they are ignored.
        mismatched: entries of another shape in the file, e.g. the classifier of other identities; they
            keep the values they had.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} loaded"]
        for name in ("missing", "unexpected", "mismatched"):
            entries: tuple[str, ...] = getattr(self, name)
            if entries:
                shown = ", ".join(entries[:4]) + (", ..." if len(entries) > 4 else "")
                parts.append(f"{len(entries)} {name} ({shown})")
        return "; ".join(parts)


def load_weights(model: ReIDNetwork, path: str | Path) -> WeightReport:
    """Copy every entry of a weight file that fits by name and shape into `model`.

    Args:
        model: changed in place.
        path: as for `read_state_dict`.

    Raises:
        ConfigError: as for `read_state_dict`, or no entry at all fits.
    """
    return copy_weights(model, read_state_dict(path), str(path))


def copy_weights(model: ReIDNetwork, given: Mapping[str, Tensor], source: str) -> WeightReport:
    """Copy every tensor that fits by name and shape into `model`.

    Args:
        model: changed in place; says what others name differently.
        given: tensors by name.
        source: of the tensors, for messages.

    Raises:
        ConfigError: no entry at all fits.
    """
    names, own = model.own_names(given), model.state_dict()
    given = {names[name]: value for name, value in given.items()}
    known = {name: value for name, value in given.items() if name in own}
    fitting = {name: value for name, value in known.items() if value.shape == own[name].shape}
    if not fitting:
        raise ConfigError(
            f"no entry of {source} fits {type(model).__name__}; give weights of the same backbone"
        )
    model.load_state_dict(fitting, strict=False)
    report = WeightReport(
        loaded=tuple(fitting),
        # Files older than torch 0.4 lack the batch counter, which no network here reads.
        missing=tuple(n for n in own if n not in given and not n.endswith("num_batches_tracked")),
        unexpected=tuple(name for name in given if name not in own),
        mismatched=tuple(name for name in known if name not in fitting),
    )
    _log.info("%s: %s", source, report)
    return report


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a weight file, on the CPU; no code of the file is executed.

    Args:
        path: a `.safetensors` file, or one of torch.save: a state dict, or a checkpoint that holds one under
            "state_dict". A "module." before all names (DataParallel) is taken off.

    Raises:
        ConfigError: the file is absent, damaged, holds other objects than tensors or no state dict.
        ResourceError: the disk does not give it.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"weights {path} do not exist; give a .pth or .safetensors file")
    content = _read(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(f"weights {path} hold no state dict (names to tensors); save model.state_dict()")
    return {name.removeprefix("module."): value for name, value in content.items()}


def weights_bytes(model: nn.Module) -> bytes:
    """The state dict of a network as a `.safetensors` file; layers that share a weight each have it."""
    # By bytes, as safetensors hides why a file cannot be written.
    return save(
        {
            name: value.detach().clone(memory_format=torch.contiguous_format)
            for name, value in model.state_dict().items()
        }
    )


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_NUMPY_NUMBERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:  # it may pass, and a ConfigError would be remembered
        raise ResourceError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # the readers raise whatever the damaged byte leads to
        if lacks_memory(error):
            raise
        raise ConfigError(
            f"weights {path} are no plain tensors ({type(error).__name__}); save model.state_dict()"
        ) from error
