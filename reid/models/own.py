"""Networks of the user's own: a function that builds the body, named by a dotted path."""

import hashlib
import inspect
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.models.headed import HeadedNetwork
from reid.models.options import NetworkOptions
from reid.plugins import is_dotted_path, load_function

__all__ = ["OwnNetwork", "code_key", "demand_runs", "repeated_blocks"]

_KIND = "backbone"
_EXAMPLE = (256, 128)


class OwnNetwork(HeadedNetwork):
    """A body of the user's with our pooling and head, or with its own embedding.

    A body that gives maps (B, C, h, w) gets pooling and head. One that gives vectors (B, D) is a whole network: its
    vectors are the embedding, and only a classifier is added, for training. Entries of weight files that name no
    part of the head are the body's.

    Args:
        path: "package.module:function"; the function takes no arguments and gives an `nn.Module` from images
            (B, 3, H, W), normalised by `reid.data.normalize`, to maps or vectors, the same in training mode. Of it, an
            attribute `blocks` names its residual blocks, else they are guessed by `repeated_blocks`; and an attribute
            `example_size` gives (height, width) of images that it takes, where it does not take 256x128.
        num_classes: identities to train on, >= 1.
        options: what is varied.

    Raises:
        ConfigError: as in `load_function`; the function fails, or builds something else; a head or a pooling is
            asked for a body that gives vectors.
    """

    renamed: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^(?!(?:body|reduce|bottleneck|classifier|pool)\.)", "body."),
    )

    def __init__(self, path: str, num_classes: int, options: NetworkOptions) -> None:
        super().__init__()
        self.body = _built(path)
        self.blocks = tuple(f"body.{name}" for name in _blocks(self.body))
        height, width = getattr(self.body, "example_size", _EXAMPLE)
        self.example_size = (int(height), int(width))
        shape = _shape(self.body, path, self.example_size, training=False)
        self.body.train()
        self._gives_maps = len(shape) == 4
        if self._gives_maps:
            self._attach_head(shape[1], num_classes, options)
        else:
            _demand_no_head(path, options)
            self.classifier = nn.Linear(shape[1], num_classes)
            self._attach_training(options, dropout=0.0)

    @property
    def embedding_dim(self) -> int:
        """Width of the embedding as the layers are now."""
        if self._gives_maps:
            return super().embedding_dim
        return cast(nn.Linear, self.classifier).in_features

    def extract(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, h, w), or to the (B, D) of a body that embeds by itself."""
        x: Tensor = self.body(images)
        return x

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Feature for metric losses and embedding, each (B, embedding_dim)."""
        if self._gives_maps:
            return super().embed(images)
        vectors = self.extract(images)
        return vectors, vectors


def code_key(name: str) -> str:
    """What tells a backbone from all others: its name, and for one of the user's own the hash of its source file.

    Args:
        name: key of `reid.models.BACKBONES` or a dotted path.

    Raises:
        ConfigError: as in `load_function`.
    """
    if not is_dotted_path(name):
        return name
    source = inspect.getsourcefile(load_function(name, _KIND))
    content = Path(source).read_bytes() if source else b""
    return f"{name}@{hashlib.sha256(content).hexdigest()}"


@cache
def demand_runs(path: str, options: NetworkOptions, input_size: tuple[int, int]) -> None:
    """Refuse a network of the user's own that cannot be trained on images of this size.

    Args:
        path: "package.module:function".
        options: as for `OwnNetwork`.
        input_size: (height, width) in pixels.

    Raises:
        ConfigError: as in `OwnNetwork`, or it fails on such images, or gives something else in training.
    """
    with torch.random.fork_rng([]):
        body = OwnNetwork(path, 1, options).body
        calm = _shape(body, path, input_size, training=False)
        trained = _shape(body, path, input_size, training=True)
    if trained != calm:
        raise ConfigError(
            f"backbone {path} gives {trained[1:]} for an image in training mode and {calm[1:]} in eval mode; "
            "return the same features in both"
        )


def repeated_blocks(body: nn.Module) -> tuple[str, ...]:
    """Names of what look like residual blocks: the outermost modules of a kind that occurs more than once.

    Such a module holds at least two convolutions or linear layers and is no mere container.

    Args:
        body: left as it is.
    """
    kinds = {name: type(module) for name, module in body.named_modules() if name and _is_block(module)}
    often = {kind for kind, times in Counter(kinds.values()).items() if times > 1}
    found: list[str] = []
    for name, kind in kinds.items():
        if kind in often and not any(name.startswith(f"{outer}.") for outer in found):
            found.append(name)
    return tuple(found)


def _is_block(module: nn.Module) -> bool:
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    return sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in module.modules()) > 1


def _blocks(body: nn.Module) -> tuple[str, ...]:
    """Those that the network names itself, else what looks like them."""
    given: Any = getattr(body, "blocks", None)
    named = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
    return tuple(given) if named else repeated_blocks(body)


def _built(path: str) -> nn.Module:
    try:
        body = load_function(path, _KIND)()
    except ConfigError:
        raise
    except Exception as error:  # whatever a stranger's function raises
        raise ConfigError(f"backbone {path} failed: {type(error).__name__}: {error}") from error
    if not isinstance(body, nn.Module):
        raise ConfigError(f"backbone {path} gives {type(body).__name__}; it must give a torch.nn.Module")
    return body.float().cpu()


def _shape(body: nn.Module, path: str, size: tuple[int, int], *, training: bool) -> tuple[int, ...]:
    """Shape of what the body gives for two images; training changes its statistics."""
    body.train(training)
    try:
        with torch.no_grad():
            found = body(torch.zeros(2, 3, *size))
    except Exception as error:  # whatever a stranger's network raises
        raise ConfigError(
            f"backbone {path} fails on images of {size[0]}x{size[1]} "
            f"({type(error).__name__}: {' '.join(str(error).split())}); set input_size, and an attribute "
            "example_size of the network, to (height, width) that it takes"
        ) from error
    if not isinstance(found, Tensor) or found.dim() not in (2, 4):
        given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError(
            f"backbone {path} gives {given} in {'training' if training else 'eval'} mode; it must give one tensor, "
            "maps (B, C, h, w) or vectors (B, D)"
        )
    return tuple(found.shape)


def _demand_no_head(path: str, options: NetworkOptions) -> None:
    for name, default in (("head", "default"), ("pooling", "avg")):
        if getattr(options, name) != default:
            raise ConfigError(
                f"backbone {path} gives vectors, its own embedding, which have no use for {name} "
                f"{getattr(options, name)}; leave {name} out, or let it give maps"
            )
