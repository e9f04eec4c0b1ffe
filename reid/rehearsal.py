"""A network of the user's own, tried before any work: on images of the trial's size, in training, and narrowed."""

import copy
import math
from functools import cache

import torch
from torch import Tensor, nn

from reid.errors import ArtifactError, ConfigError
from reid.export.trace import trace
from reid.models import NetworkOptions, OwnNetwork
from reid.models.own import foreign_code
from reid.prune import Scope, decay, find_units, select, slim, slim_difference, slim_tolerance
from reid.runtime.torch_graph import TorchGraph

__all__ = ["rehearse"]

_RATE, _ROUND_TO = 0.5, 8


@cache
def rehearse(
    path: str, options: NetworkOptions, input_size: tuple[int, int], scope: Scope | None, reader: str | None
) -> None:
    """Refuse a network of the user's own that could not be trained, narrowed, or exported.

    Args:
        path: "package.module:function".
        options: as for `reid.models.build`.
        input_size: (height, width) in pixels.
        scope: to narrow it in, or None.
        reader: setting that reads the exported file back into torch, for messages, or None.

    Raises:
        ConfigError: as in `OwnNetwork`; or it fails on such images, gives other features in training than in use, or
            is changed by the removal of channels that hold nothing; or ONNX cannot express it; or `reader` cannot
            read what it is exported as.
        ResourceError: as in `OwnNetwork`.
    """
    with torch.random.fork_rng([]):
        network = OwnNetwork(path, 2, options)
        calm, trained = (network.body_shape(input_size, training=mode) for mode in (False, True))
        if trained != calm:
            raise ConfigError(
                f"backbone {path} gives {trained[1:]} for an image in training mode and {calm[1:]} in eval mode; "
                "return the same features in both"
            )
        if calm[1] != network.body_width:
            sizes = ["x".join(map(str, size)) for size in (input_size, network.example_size)]
            raise ConfigError(
                f"backbone {path} gives {calm[1]} numbers for an image of {sizes[0]}, and {network.body_width} for "
                f"one of {sizes[1]}; pool the map, or set its attribute example_size to input_size"
            )
        # As trainings lay weights and images out.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.rand(4, 3, *input_size).contiguous(memory_format=torch.channels_last)
        for norm in (
            layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        ):
            norm.momentum = 1.0  # statistics of these images, as after a training
        with foreign_code(path, "fails in training"):
            network.train()(images)
        # Averaging and slimming work on copies, late in a trial.
        with foreign_code(path, "cannot be copied", "; use torch.nn.utils.parametrizations for weight norms"):
            copy.deepcopy(network)
        if scope is not None:
            _narrow(network, path, scope, images)
        _export(network.eval(), path, input_size, reader)


def _narrow(network: OwnNetwork, path: str, scope: Scope, images: Tensor) -> None:
    with foreign_code(path, "cannot be narrowed", "; set method to none"):
        units = find_units(network.eval(), scope)
        plan = select(
            network, units, {unit.name: _RATE for unit in units}, criterion="l1", round_to=_ROUND_TO
        )
        masked = copy.deepcopy(network)
        decay(masked, units, plan, 0.0)
        difference = slim_difference(masked, slim(masked, plan), plan, images)
        most = slim_tolerance(masked, images)
    if not math.isfinite(most):
        raise ConfigError(f"backbone {path} gives infinite or undefined numbers; set method to none")
    if difference > most:
        raise ConfigError(
            f"backbone {path} cannot be narrowed: without channels that hold nothing its embeddings differ by "
            f"{difference:.2g}, perhaps by an activation that does not keep 0; set method to none"
        )


def _export(network: OwnNetwork, path: str, input_size: tuple[int, int], reader: str | None) -> None:
    try:
        graph = trace(network, *input_size)
    except ArtifactError as error:
        raise ConfigError(f"backbone {path} cannot be exported: {error}") from error
    if reader is None:
        return
    try:
        TorchGraph(graph)
    except ArtifactError as error:
        raise ConfigError(
            f"{reader} reads the exported file of backbone {path} back into torch: {error}; take int8-static or fp32 "
            "on onnxruntime or openvino"
        ) from error
