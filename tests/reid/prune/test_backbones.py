"""Every backbone, slimmed: equal to the masked network, trainable, on disk and in a runtime."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.config import Target
from reid.data import MEAN, STD
from reid.export import InputSpec, export_onnx
from reid.models import BACKBONES, ReIDNetwork, build, count
from reid.prune import PrunePlan, decay, find_units, kept_count, load_slim, save_slim, slim, slim_difference
from reid.runtime import check_parity, open_artifact

Build = Callable[..., ReIDNetwork]
Make = Callable[..., PrunePlan]
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in sorted(BACKBONES)},
    "ibn": ("resnet18", {"ibn": True}),
    "ibn pcb gem": ("resnet50", {"ibn": True, "head": "pcb", "pooling": "gem", "last_stride": 1}),
    "densenet linear": ("densenet121", {"head": "linear"}),
    "densenet pcb": ("densenet121", {"head": "pcb", "parts": 2, "last_stride": 1}),
    "osnet pcb": ("osnet_x0_25", {"head": "pcb", "parts": 2}),
    "spectral": ("mobilenet_v2", {"spectral": 1.0, "pooling": "max"}),
}
SMALL = (
    "ibn",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "osnet_x0_25",
    "osnet pcb",
    "resnet18",
)


@pytest.mark.parametrize("scope", ["inner", "grouped"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_slim_equals_masked(variant: str, scope: str, network: Build, any_plan: Make, images: Tensor) -> None:
    name, options = VARIANTS[variant]
    model, plan = network(name, **options), any_plan(name, scope, 0.5, 4, **options)
    dense = model.eval()(images)
    decay(model, plan.units, plan, 0.0)
    assert (model(images) - dense).abs().max() > 1e-3
    slimmed = slim(model, plan)
    assert slim_difference(model, slimmed, plan, images) <= 1e-4
    before, after = count(model, (32, 32)), count(slimmed, (32, 32))
    assert after.macs < before.macs
    assert after.params < before.params


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_slim_equals_masked_whatever_goes(
    data: st.DataObject, network: Build, units: Callable[..., Any], images: Tensor
) -> None:
    name, options = VARIANTS[data.draw(st.sampled_from(SMALL))]
    found = units(name, data.draw(st.sampled_from(["inner", "grouped"])), **options)
    round_to = data.draw(st.sampled_from([1, 8, 16]))
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    rates = torch.rand(len(found), generator=random) * data.draw(st.floats(0, 0.999))
    kept = {
        unit.name: tuple(
            sorted(
                torch.randperm(unit.width, generator=random)[
                    : kept_count(unit.width, rate, round_to)
                ].tolist()
            )
        )
        for unit, rate in zip(found, rates.tolist(), strict=True)
    }
    plan = PrunePlan(units=found, kept=kept)
    model = network(name, **options)
    decay(model, plan.units, plan, 0.0)
    slimmed = slim(model, plan)
    assert slim_difference(model, slimmed, plan, images) <= 1e-4
    assert slimmed.eval()(images).shape[1] == slimmed.embedding_dim


@pytest.mark.parametrize("variant", ["ibn pcb gem", "densenet121", "swin_t", "efficientnet_b0"])
def test_trains_further_and_comes_back_from_its_files(
    variant: str, network: Build, any_plan: Make, images: Tensor, tmp_path: Path
) -> None:
    name, options = VARIANTS[variant]
    plan = any_plan(name, "grouped", 0.5, 8, **options)
    slimmed = slim(network(name, **options), plan).train()
    optimizer = torch.optim.SGD(slimmed.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        feature, _, logits = slimmed(images)
        (feature.square().mean() + logits.square().mean()).backward()
        assert all(p.grad is not None for p in slimmed.parameters() if p.requires_grad)
        optimizer.step()
    save_slim(slimmed, plan, tmp_path)
    loaded, read = load_slim(lambda: build(name, 7, **options), tmp_path)
    assert read == plan
    assert torch.equal(loaded.eval()(images), slimmed.eval()(images))


@pytest.mark.parametrize("variant", ["ibn", "densenet121", "ibn pcb gem"])
def test_a_narrowed_network_is_narrowed_again(
    variant: str, network: Build, any_plan: Make, images: Tensor
) -> None:
    """As pruning in rounds does: units of the slim network have the names of the dense one's."""
    name, options = VARIANTS[variant]
    plan = any_plan(name, "grouped", 0.5, 1, **options)
    once = slim(network(name, **options), plan)
    units = find_units(once, "grouped")
    assert [unit.name for unit in units] == [unit.name for unit in plan.units]
    again = PrunePlan(units=units, kept={unit.name: tuple(range(0, unit.width, 2)) for unit in units})
    masked = copy.deepcopy(once)
    decay(masked, units, again, 0.0)
    assert slim_difference(masked, slim(masked, again), again, images) <= 1e-4


@pytest.mark.parametrize("variant", ["densenet121", "ibn"])
def test_exports(variant: str, network: Build, any_plan: Make, tmp_path: Path) -> None:
    name, options = VARIANTS[variant]
    slimmed = slim(network(name, **options), any_plan(name, "grouped", 0.7, 16, **options)).eval()
    spec = InputSpec(height=64, width=32, mean=MEAN, std=STD, embedding_dim=slimmed.embedding_dim)
    artifact = export_onnx(slimmed, spec, tmp_path / "model.onnx")
    runtime = open_artifact(artifact.path, Target(runtime="onnxruntime", device="cpu", threads=1, batch=1))
    pictures = np.random.default_rng(0).integers(0, 256, (4, 64, 32, 3), np.uint8)
    assert check_parity(slimmed, runtime, pictures) >= 0.999
