"""A slim network as files: its plan and its weights."""

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from reid.errors import ConfigError, ResourceError, UnverifiedError
from reid.files import read_json, write_atomic, write_json
from reid.models.network import ReIDNetwork
from reid.models.weights import weights_bytes
from reid.prune.plan import PrunePlan
from reid.prune.slim import slim

__all__ = ["load_slim", "save_slim"]

_PLAN, _WEIGHTS = "plan.json", "model.safetensors"


def save_slim(model: nn.Module, plan: PrunePlan, folder: Path) -> Path:
    """Write `plan.json` and `model.safetensors` into `folder`, each whole or not at all.

    Args:
        model: from `reid.prune.slim`, perhaps trained further.
        plan: that it was made by.
        folder: created if absent.

    Returns:
        `folder`.

    Raises:
        ResourceError: the disk is full or read-only.
    """
    write_atomic(folder / _WEIGHTS, weights_bytes(model))
    write_json(folder / _PLAN, plan.to_dict())
    return folder


def load_slim(build_dense: Callable[[], ReIDNetwork], folder: Path) -> tuple[ReIDNetwork, PrunePlan]:
    """Read a slim network back.

    Args:
        build_dense: builds the dense network of the same backbone and number of identities; its weights do
            not matter.
        folder: from `save_slim`.

    Returns:
        The network, on the device and in the mode of the dense one, and its plan.

    Raises:
        ConfigError: `build_dense` gives another network than the plan was made for.
        UnverifiedError: a file is absent or damaged, or the two do not belong together.
        ResourceError: the disk does not give one.
    """
    try:
        plan = PrunePlan.from_dict(read_json(folder / _PLAN))
        weights = load_file(folder / _WEIGHTS)
    except FileNotFoundError as error:
        raise UnverifiedError(f"slim network in {folder} cannot be read ({error}); prune again") from error
    except OSError as error:  # it may pass
        raise ResourceError(f"cannot read {folder}: {error.strerror or error}") from error
    except (ValueError, SafetensorError, ConfigError) as error:
        raise UnverifiedError(f"slim network in {folder} cannot be read ({error}); prune again") from error
    model = slim(build_dense(), plan)
    own = model.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        if name not in own or name not in weights or own[name].shape != weights[name].shape:
            raise UnverifiedError(
                f"{name} in {folder / _WEIGHTS} does not fit {folder / _PLAN} or the dense network; "
                "build it with the same backbone and identities, or prune again"
            )
    model.load_state_dict(weights)
    return model, plan
