"""A quantized graph as a torch network that rounds where the graph does, and can be trained.

What is trained is the very graph that will be written: batch normalisation is folded already, and rounding stands
where the runtime rounds, so nothing can differ between the trained network and the file but the order of additions.
"""

from collections.abc import Collection, Mapping
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from reid.models import ReIDNetwork
from reid.quantize.fake_quantize import WEIGHT_TOPS, ActivationQuantizer, channel_scales, quantize_weight
from reid.quantize.graph_parts import Layer, Parts, Use, take_apart
from reid.runtime.operators import OPERATORS, inputs_of

__all__ = ["GraphNetwork"]

_MOST = 2**31 - 1


class GraphNetwork(ReIDNetwork):
    """The embedding that an int8 file gives, in float arithmetic with gradients.

    Weights and biases of integer layers and the scales of activations are trained; everything else stays.

    Args:
        quantized: with quantize-dequantize pairs, as `Calibrated.graph` gives it.
        floats: the graph that it was made from.
        weight_bits: of its weights, 7 or 8.

    Raises:
        ArtifactError: an operator of the graph cannot be trained.
    """

    def __init__(self, quantized: onnx.ModelProto, floats: onnx.ModelProto, weight_bits: int = 8) -> None:
        super().__init__()
        self._top = WEIGHT_TOPS[weight_bits]
        self.blocks, self.classifier = (), nn.Identity()
        self._model = quantized
        self._parts: Parts = take_apart(quantized, floats)
        self._active: frozenset[str] | None = None
        self._dequantized = {
            node.input[0]: node.output[0]
            for node in quantized.graph.node
            if node.op_type == "DequantizeLinear"
        }
        trained = [name for layer in self.layers for name in self._values_of(layer)]
        bound = {self._dequantized[use.bias] for layer in self.layers for use in layer.uses if use.bias}
        # Names in a graph hold dots, which torch's containers do not take; hence lists, in the graph's order.
        self._trained = {name: at for at, name in enumerate(trained)}
        self.values = nn.ParameterList(_tensor(self._parts.constants[name]) for name in trained)
        self._grids = {name: at for at, name in enumerate(self._parts.grids)}
        self.grids = nn.ModuleList(ActivationQuantizer(*grid) for grid in self._parts.grids.values())
        read = {name for step in self._parts.steps for name in step.inputs if name}
        read -= {*trained, *bound}
        self._fixed = [name for name in self._parts.constants if name in read]
        for at, name in enumerate(self._fixed):
            self.register_buffer(f"fixed{at}", _tensor(self._parts.constants[name]), persistent=False)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The integer layers, in the order of the graph."""
        return self._parts.layers

    @property
    def embedding_dim(self) -> int:
        """Width of the embedding."""
        return int(self._model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)

    def only(self, layers: Collection[str] | None) -> None:
        """Let only these layers, and the activations that they read, be rounded; None for all.

        Args:
            layers: names as in the torch network.
        """
        self._active = None if layers is None else frozenset(layers)

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The L2-normalised embedding, twice.

        Args:
            images: (B, 3, H, W) float32, normalised.
        """
        values = self._constants()
        values[self._model.graph.input[0].name] = images
        rounded = self._rounded_grids()
        for step in self._parts.steps:
            if step.operator == "Quantize":
                grid = self._quantizer(step.grid)
                value = values[step.inputs[0]]
                # An activation such as ReLU may have become the end of a grid, so that much stays without rounding.
                value = grid(value) if step.grid in rounded else grid.clip(value)
            else:
                value = OPERATORS[step.operator](inputs_of(step.inputs, values), step.attributes)
            values[step.output] = value
        embedding = values[self._model.graph.output[0].name]
        return embedding, embedding

    def judge(self, embedding: Tensor) -> Tensor:
        """No logits: an exported graph has no classifier."""
        return embedding.new_zeros((len(embedding), 1))

    def write(self) -> onnx.ModelProto:
        """The quantized graph with the weights and ranges as they are now."""
        scales = {name: self._quantizer(name).scale.detach() for name in self._grids}
        found: dict[str, NDArray[Any]] = {
            name: np.array(scale.numpy(force=True), dtype=np.float32) for name, scale in scales.items()
        }
        for layer in self.layers:
            found |= self._integers(layer, scales)
        written = onnx.ModelProto()
        written.CopyFrom(self._model)
        for tensor in written.graph.initializer:
            if tensor.name in found:
                tensor.CopyFrom(numpy_helper.from_array(found[tensor.name], tensor.name))
        return written

    def _integers(self, layer: Layer, activations: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        weight, *bias = (self.values[self._trained[name]].detach() for name in self._values_of(layer))
        scales = channel_scales(weight, layer.axis, self._top)
        shape = [-1 if dim == layer.axis else 1 for dim in range(weight.ndim)]
        levels = (weight / scales.view(shape)).round().clamp(-self._top, self._top)
        found = {layer.weight: _array(levels, np.int8), layer.weight_scale: _array(scales, np.float32)}
        for use in layer.uses if bias else ():
            step = scales.double() * activations[use.grid].double()
            found[use.bias] = _array((bias[0].double() / step).round().clamp(-_MOST, _MOST), np.int32)
            found[use.bias_scale] = _array(step, np.float32)
        return found

    def _constants(self) -> dict[str, Tensor]:
        values = {name: getattr(self, f"fixed{at}") for at, name in enumerate(self._fixed)}
        for layer in self.layers:
            weight, *bias = self._values_of(layer)
            tensor = self.values[self._trained[weight]]
            rounds = self._active is None or layer.name in self._active
            values[weight] = quantize_weight(tensor, layer.axis, self._top) if rounds else tensor
            for use in layer.uses if bias else ():
                offset = self.values[self._trained[bias[0]]]
                rounded = self._rounded_bias(layer, use, offset, tensor) if rounds else offset
                values[self._dequantized[use.bias]] = rounded
        return values

    def _rounded_bias(self, layer: Layer, use: Use, bias: Tensor, weight: Tensor) -> Tensor:
        """As the accumulator of the integer kernel holds it: in steps of both factors of a product."""
        step = channel_scales(weight, layer.axis, self._top) * self._quantizer(use.grid).scale.detach()
        return bias + ((bias / step).round() * step - bias).detach()

    def _rounded_grids(self) -> set[str]:
        if self._active is None:
            return set(self._grids)
        return {use.grid for layer in self.layers if layer.name in self._active for use in layer.uses}

    def _quantizer(self, grid: str) -> ActivationQuantizer:
        return cast(ActivationQuantizer, self.grids[self._grids[grid]])

    def _values_of(self, layer: Layer) -> list[str]:
        """Names under which steps read the layer's weight and, where it has one, its bias."""
        return [self._dequantized[name] for name in (layer.weight, layer.uses[0].bias) if name]


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: initializers are read-only


def _array(tensor: Tensor, kind: type[np.generic]) -> NDArray[Any]:
    return tensor.cpu().numpy().astype(kind)
