"""A wider network that computes what a trained narrow one does: where to begin when only the narrow one has weights.

    python -m benchmarks.market_study.wider osnet_x0_25 NARROW.safetensors osnet_x0_5 WIDE.safetensors

Every channel is copied as often as the wide network asks; what reads it shares its weight among the copies, unevenly,
so that training can tell them apart.

Source: Chen, Goodfellow and Shlens, Net2Net: Accelerating Learning via Knowledge Transfer, ICLR 2016, section 2.2.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from reid.files import write_atomic
from reid.models import build, load_weights, read_state_dict

__all__ = ["widened"]

_UNEVEN = 0.5
"""By how much a share may differ from an even one, before shares are brought to a sum of 1."""


def widened(
    narrow: Mapping[str, Tensor], wide: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Weights in the shapes of `wide` that compute what `narrow` does.

    Args:
        narrow: state dict.
        wide: state dict with the same names; only its shapes are used.
        generator: of the shares.

    Raises:
        ValueError: a layer has more inputs or outputs in `narrow`.
    """
    found = {}
    for name, target in wide.items():
        value = narrow[name]
        if any(ours > theirs for ours, theirs in zip(value.shape, target.shape, strict=True)):
            raise ValueError(
                f"{name} is {tuple(value.shape)} in the narrow network, {tuple(target.shape)} in the wide"
            )
        if value.ndim and value.shape[0] != target.shape[0]:
            value = value[torch.arange(target.shape[0]) % value.shape[0]]
        if value.ndim > 1 and value.shape[1] != target.shape[1]:
            value = _shared(value, target.shape[1], generator)
        found[name] = value.clone()
    return found


def _shared(weight: Tensor, inputs: int, generator: torch.Generator) -> Tensor:
    """Weights for `inputs` copies of the inputs, taken in turns."""
    copied = torch.arange(inputs) % weight.shape[1]
    parts = 1 + _UNEVEN * (2 * torch.rand(len(weight), inputs, generator=generator) - 1)
    whole = torch.zeros(len(weight), weight.shape[1]).index_add_(1, copied, parts)
    shares = parts / whole[:, copied]
    return weight[:, copied] * shares.reshape(*shares.shape, *[1] * (weight.ndim - 2))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("narrow", help="backbone")
    parser.add_argument("weights", type=Path)
    parser.add_argument("wide", help="backbone of the same kind")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    given = read_state_dict(options.weights)
    networks = [
        build(name, len(given["classifier.weight"])).eval() for name in (options.narrow, options.wide)
    ]
    load_weights(networks[0], options.weights)
    generator = torch.Generator().manual_seed(0)
    networks[1].load_state_dict(widened(networks[0].state_dict(), networks[1].state_dict(), generator))
    with torch.inference_mode():
        images = torch.randn(4, 3, 256, 128, generator=generator)
        difference = (networks[0](images) - networks[1](images)).abs().max()
    write_atomic(options.out, save(networks[1].state_dict()))
    print(f"{options.wide} in {options.out}; largest difference between the embeddings: {difference:.2g}")


if __name__ == "__main__":
    main()
