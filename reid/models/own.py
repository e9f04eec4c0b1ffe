"""Networks of the user's own: a function that builds the body, named by a dotted path."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from reid.errors import ConfigError, ReidParetoError, ResourceError
from reid.models.headed import HeadedNetwork
from reid.models.options import NetworkOptions
from reid.plugins import code_of, is_dotted_path, load_function, may_pass

__all__ = ["OwnNetwork", "code_key", "foreign_code", "repeated_blocks"]

_KIND = "backbone"
_EXAMPLE = (256, 128)


class OwnNetwork(HeadedNetwork):
    """A body of the user's with our pooling and head, or with its own embedding.

    A body that gives maps (B, C, h, w) gets pooling and head. One that gives vectors (B, D) is a whole network: its
    vectors are the embedding, and only a classifier is added, for training.

    Args:
        path: "package.module:function"; the function takes no arguments and gives an `nn.Module` from images
            (B, 3, H, W), normalised by `reid.data.normalize`, to maps or vectors, the same in training mode. Of it, an
            attribute `blocks` names its residual blocks, else they are guessed by `repeated_blocks`; and an attribute
            `example_size` gives (height, width) of images that it takes, where it does not take 256x128.
        num_classes: identities to train on, >= 1.
        options: what is varied.

    Attributes:
        body_width: channels of its maps, or numbers of its vectors, as it was built.

    Raises:
        ConfigError: as in `load_function`; the function fails, or builds something else; a head or a pooling is
            asked for a body that gives vectors.
        ResourceError: memory, disk or network fail the function.
    """

    def __init__(self, path: str, num_classes: int, options: NetworkOptions) -> None:
        super().__init__()
        self._path = path
        self.body = _built(path)
        self.blocks = tuple(f"body.{name}" for name in _blocks(self.body, path))
        self.example_size = _example_size(self.body, path)
        shape = self.body_shape(self.example_size, training=False)
        self.body_width, self._gives_maps = shape[1], len(shape) == 4
        if self._gives_maps:
            self._attach_head(self.body_width, num_classes, options)
        else:
            _demand_no_head(path, options)
            self.classifier = nn.Linear(self.body_width, num_classes)
            self._attach_training(options, dropout=0.0)
        self.train()

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

    def own_names(self, given: Mapping[str, Tensor]) -> dict[str, str]:
        """A file that we saved has our names; in any other, names of the body's layers are those without "body."."""
        own = self.state_dict().keys()
        if any(name in own for name in given if name.startswith("body.")):
            return {name: name for name in given}
        return {name: f"body.{name}" if f"body.{name}" in own else name for name in given}

    def body_shape(self, size: tuple[int, int], *, training: bool) -> tuple[int, ...]:
        """Shape of what the body gives for four images of (height, width); in training its statistics change.

        Raises:
            ConfigError: it fails, or gives neither maps nor vectors.
            ResourceError: memory runs out.
        """
        self.body.train(training)
        # As trainings lay images out.
        noise = torch.rand(4, 3, *size, generator=torch.Generator().manual_seed(0))
        images = noise.contiguous(memory_format=torch.channels_last)
        hint = (
            "; it must take float32 images on the CPU. Where it takes another size only, set input_size, and its "
            "attribute example_size, to that (height, width)"
        )
        with torch.no_grad(), foreign_code(self._path, f"fails on images of {size[0]}x{size[1]}", hint):
            found = self.body(images)
        if not isinstance(found, Tensor) or found.dim() not in (2, 4):
            given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(
                f"backbone {self._path} gives {given} in {'training' if training else 'eval'} mode; it must give one "
                "tensor, maps (B, C, h, w) or vectors (B, D)"
            )
        return tuple(found.shape)


def code_key(name: str) -> str:
    """What tells a backbone from all others: its name, and for one of the user's own the hash of its source file.

    Args:
        name: key of `reid.models.BACKBONES` or a dotted path.

    Raises:
        ConfigError: as in `load_function`.
    """
    return f"{name}@{code_of(name, _KIND)}" if is_dotted_path(name) else name


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


@contextmanager
def foreign_code(path: str, what: str, mend: str = "") -> Iterator[None]:
    """Turn whatever a user's network raises into an error that names it.

    Args:
        path: of the network.
        what: it does not do.
        mend: what to do about it.

    Raises:
        ConfigError: the network is wrong.
        ResourceError: memory, disk or network failed it, and may not the next time.
    """
    try:
        yield
    except ReidParetoError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's code raises
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        kind = ResourceError if may_pass(error) else ConfigError
        raise kind(f"backbone {path} {what} ({reason}){mend}") from error


def _is_block(module: nn.Module) -> bool:
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    return sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in module.modules()) > 1


def _built(path: str) -> nn.Module:
    function = load_function(path, _KIND)
    with foreign_code(path, "cannot be built"):
        body = function()
    if not isinstance(body, nn.Module):
        raise ConfigError(f"backbone {path} gives {type(body).__name__}; it must give a torch.nn.Module")
    return body.float().cpu()


def _blocks(body: nn.Module, path: str) -> tuple[str, ...]:
    """Those that the network names itself, else what looks like them."""
    given: Any = getattr(body, "blocks", None)
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        return repeated_blocks(body)  # something else by that name
    known = {name for name, _ in body.named_modules()}
    if strange := [name for name in given if name not in known]:
        raise ConfigError(
            f"backbone {path}: its attribute blocks names {strange[0]!r}, which is no module of it"
        )
    return tuple(given)


def _example_size(body: nn.Module, path: str) -> tuple[int, int]:
    given: Any = getattr(body, "example_size", _EXAMPLE)
    if not isinstance(given, list | tuple) or len(given) != 2 or not all(type(side) is int for side in given):
        raise ConfigError(
            f"backbone {path}: its attribute example_size must be (height, width), got {given!r}"
        )
    return given[0], given[1]


def _demand_no_head(path: str, options: NetworkOptions) -> None:
    for name, default in (("head", "default"), ("pooling", "avg")):
        if getattr(options, name) != default:
            raise ConfigError(
                f"backbone {path} gives vectors, its own embedding, which have no use for {name} "
                f"{getattr(options, name)}; leave {name} out, or let it give maps"
            )
