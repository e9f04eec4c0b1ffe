"""Costs by layer add up to what the network as a whole has, dense and slimmed."""

import numpy as np
import pytest
import torch

from reid.models import build, count
from reid.prune import PrunePlan, find_units, kept_count, slim
from reid.prune.layers import LayerShape, NetworkCosts, macs_of, shapes_of

SIZE = (64, 32)


@pytest.mark.parametrize(
    ("backbone", "scope"),
    [
        ("resnet18", "grouped"),
        ("resnet50", "inner"),
        ("densenet121", "grouped"),
        ("mobilenet_v2", "grouped"),
        ("osnet_x0_25", "grouped"),
        ("swin_t", "inner"),
    ],
)
def test_the_sum_of_layers_is_the_network(backbone: str, scope: str) -> None:
    """Counted by torch's own counter on the slimmed network, operation by operation."""
    dense = build(backbone, 3).eval()
    units = find_units(dense, scope)  # type: ignore[arg-type]
    costs = NetworkCosts(dense, units, SIZE, macs_of)
    full = [unit.width for unit in units]
    other = count(dense, SIZE).macs - costs.total(full)  # attention's products are no layers
    assert other == 0 or backbone == "swin_t"
    random = np.random.default_rng(0)
    widths = [kept_count(unit.width, random.uniform(0, 0.8), 8) for unit in units]
    kept = {unit.name: tuple(range(width)) for unit, width in zip(units, widths, strict=True)}
    macs = count(slim(dense, PrunePlan(units=units, kept=kept)), SIZE).macs
    assert costs.total(widths) + other == macs


def test_around_is_what_a_unit_changes() -> None:
    dense = build("osnet_x0_25", 3)
    units = find_units(dense, "grouped")
    costs = NetworkCosts(dense, units, SIZE, macs_of)
    full = [unit.width for unit in units]
    for number, unit in enumerate(units):
        if unit.width == 1:
            continue
        narrow = [*full]
        narrow[number] = unit.width // 2
        difference = costs.around(number, full) - costs.around(number, narrow)
        assert difference == costs.total(full) - costs.total(narrow) > 0


def test_output_size_is_that_of_torch() -> None:
    shape = LayerShape(size=(33, 17), kernel=(3, 5), stride=(2, 1), padding=(1, 0), dilation=(2, 1))
    conv = torch.nn.Conv2d(1, 1, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(2, 1))
    assert shape.output == tuple(conv(torch.zeros(1, 1, 33, 17)).shape[2:])


def test_shapes_hold_all_widths_and_the_network_is_left_alone() -> None:
    dense = build("resnet18", 3).train()
    shapes = shapes_of(dense, (), SIZE)
    assert shapes[LayerShape(size=SIZE, kernel=(7, 7), stride=(2, 2), padding=(3, 3))] == ({3}, {64})
    assert dense.training
    assert not any(layer._forward_pre_hooks for layer in dense.modules())
