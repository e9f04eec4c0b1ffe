"""Weights that torchvision knows by name and fetches itself."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid.errors import ConfigError, ResourceError
from reid.files import sha256_of
from reid.torchvision_compat import torchvision

__all__ = ["fetch", "named", "weights_key"]

_DEFAULT = "imagenet"
_NAME = re.compile(r"\w+_Weights\.\w+")


def named(weights: str | Path) -> bool:
    """Whether `weights` is a name of torchvision's, not a file: "imagenet" or e.g. "Swin_T_Weights.DEFAULT"."""
    if not isinstance(weights, str) or weights == _DEFAULT:
        return isinstance(weights, str)
    return _NAME.fullmatch(weights) is not None and not Path(weights).is_file()


def fetch(backbone: str, weights: str) -> dict[str, Tensor]:
    """State dict of torchvision's weights for a backbone; downloaded once, then taken from torch's own cache.

    Args:
        backbone: key of `reid.models.BACKBONES`.
        weights: "imagenet" for those torchvision recommends, or a name as torchvision writes it.

    Raises:
        ConfigError: no such weights for this backbone.
        ResourceError: they cannot be had now; names the place to put them.
    """
    entry = _entry(backbone, weights)
    try:
        state: dict[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # whatever network, disk or file lead to
        file = Path(torch.hub.get_dir(), "checkpoints", entry.url.rpartition("/")[2])
        reason = " ".join(str(error).split())
        # No ConfigError, which the cache of stages would remember after the network has come back.
        raise ResourceError(
            f"cannot get weights {entry!r} ({type(error).__name__}: {reason}); "
            f"give a path, or put {entry.url} at {file}"
        ) from error
    return state


def weights_key(backbone: str, weights: str | Path) -> str:
    """What tells these weights from all others: torchvision's address, which holds a hash, or a file's sha256.

    Args:
        backbone: key of `reid.models.BACKBONES`.
        weights: as for `reid.models.build`.

    Raises:
        ConfigError: an unknown name, or no such file.
    """
    if named(weights):
        return str(_entry(backbone, str(weights)).url)
    path = Path(weights)
    if not path.is_file():
        raise ConfigError(f"weights {path} do not exist; give a .pth or .safetensors file")
    return sha256_of(path)


def _entry(backbone: str, weights: str) -> Any:
    """The member of torchvision's enumeration."""
    models = torchvision.models
    if backbone not in models.list_models():
        raise ConfigError(
            f"torchvision has no weights of {backbone}, so {weights!r} means nothing; give a path"
        )
    known = models.get_model_weights(backbone)
    family, _, member = weights.rpartition(".")
    if weights == _DEFAULT:
        return known.DEFAULT
    if family != known.__name__ or member not in known.__members__:
        names = ", ".join(f"{known.__name__}.{name}" for name in known.__members__)
        raise ConfigError(f"unknown weights {weights!r} of {backbone}; known: {_DEFAULT}, {names}, or a path")
    return known[member]
