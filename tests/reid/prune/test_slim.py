"""The slim network against the masked one, against published sizes, and as a network in its own right."""

import gc
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from reid.errors import ConfigError
from reid.models import ReIDNetwork, count
from reid.prune import PrunePlan, decay, find_units, layer_rates, select, slim, slim_difference
from reid.prune.slim import Widen

Build = Callable[[str], ReIDNetwork]
Make = Callable[..., PrunePlan]
CASES = [(name, scope) for name in ("resnet18", "osnet_x0_25") for scope in ("inner", "grouped")]


def bafd_plan(model: ReIDNetwork, scope: str, rate: float, round_to: int = 1) -> PrunePlan:
    units = find_units(model, scope)
    rates = layer_rates(model, units, prune_rate=rate, knn=2, max_layer_rate=0.95)
    return select(model, units, rates, knn=2, efficient=True, round_to=round_to)


@pytest.mark.parametrize(("rate", "round_to"), [(0.3, 1), (0.5, 16), (0.7, 8), (0.9, 1)])
@pytest.mark.parametrize(("name", "scope"), CASES)
def test_slim_equals_masked(
    name: str, scope: str, rate: float, round_to: int, network: Build, any_plan: Make, images: Tensor
) -> None:
    model, plan = network(name), any_plan(name, scope, rate, round_to)
    decay(model, plan.units, plan, 0.0)
    slimmed = slim(model, plan)
    assert slim_difference(model, slimmed, plan, images) <= 1e-4
    assert model.eval()(images).abs().max() > 0.1
    before, after = count(model, (64, 32)), count(slimmed, (64, 32))
    assert after.params < before.params
    assert after.macs < before.macs


def test_a_network_that_is_not_masked_differs(network: Build, any_plan: Make, images: Tensor) -> None:
    for scope in ("inner", "grouped"):
        model = network("resnet18")
        plan = any_plan("resnet18", scope, 0.5)
        assert slim_difference(model, slim(model, plan), plan, images) > 0.1


def test_slim_difference_sees_what_is_left_in_removed_dimensions(
    network: Build, any_plan: Make, images: Tensor
) -> None:
    model = network("resnet18")
    plan = any_plan("resnet18", "grouped", 0.5)
    decay(model, plan.units, plan, 0.0)
    slimmed = slim(model, plan)
    unit = next(unit for unit in plan.units if unit.is_embedding)
    with torch.no_grad():
        model.bottleneck.bias[plan.removed(unit)[0]] = 0.5
    assert slim_difference(model, slimmed, plan, images) == 0.5


def macs_without_join(model: ReIDNetwork) -> int:
    """MACs at 256x128 without putting scattered channels back, which the sources did by index."""
    joins: list[int] = []
    for layer in model.modules():
        if isinstance(layer, Widen):
            layer.register_forward_hook(lambda m, _, out: joins.append(out.numel() * m.weight.shape[1]))
    return count(model, (256, 128)).macs - sum(joins)


@pytest.mark.parametrize(
    ("rate", "gmacs", "mparams"),
    [(0.3, 0.733, 6.59), (0.5, 0.486, 4.11), (0.7, 0.296, 2.18), (0.9, 0.147, 0.73)],
)
def test_uniform_sizes_are_the_published_ones(
    rate: float, gmacs: float, mparams: float, network: Build, any_plan: Make
) -> None:
    """ResNet-18 pruned inside its blocks at 256x128, as computed for the sources' own extraction."""
    model = network("resnet18")
    slimmed = slim(model, any_plan("resnet18", "inner", rate))
    size = count(slimmed, (256, 128))
    assert macs_without_join(slimmed) / 1e9 == pytest.approx(gmacs, abs=1.5e-3)
    assert size.params / 1e6 == pytest.approx(mparams, abs=1e-2)


@pytest.mark.parametrize(("rate", "fewer_macs", "fewer_params"), [(0.9, 0.73, 0.95), (0.5, 0.22, 0.72)])
def test_bafd_sizes_are_the_published_ones(
    rate: float, fewer_macs: float, fewer_params: float, network: Build
) -> None:
    model = network("resnet18")
    slimmed = slim(model, bafd_plan(model, "inner", rate))
    dense, small = count(model, (256, 128)), count(slimmed, (256, 128))
    assert 1 - macs_without_join(slimmed) / dense.macs == pytest.approx(fewer_macs, abs=0.01)
    assert 1 - small.params / dense.params == pytest.approx(fewer_params, abs=0.01)


@pytest.mark.parametrize(("name", "scope"), CASES)
def test_slim_stands_alone(name: str, scope: str, network: Build, any_plan: Make, images: Tensor) -> None:
    model = network(name)
    plan = any_plan(name, scope, 0.5)
    before = {path: value.clone() for path, value in model.state_dict().items()}
    slimmed = slim(model, plan)
    storages = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}
    assert not storages & {value.untyped_storage().data_ptr() for value in slimmed.state_dict().values()}
    del model.classifier
    gc.collect()
    feature, _, logits = slimmed.train()(images)
    assert feature.shape == (3, slimmed.embedding_dim)
    assert slimmed.embedding_dim == len(plan.kept_embedding or range(512))
    (feature.square().mean() + logits.square().mean()).backward()
    for path, parameter in slimmed.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, path
    assert all(torch.equal(value, before[path]) for path, value in model.state_dict().items())


def test_state_of_the_dense_network_is_kept(network: Build, any_plan: Make) -> None:
    model = network("resnet18").eval()
    slimmed = slim(model, any_plan("resnet18", "grouped", 0.5))
    assert not slimmed.training
    assert not slimmed.bottleneck.bias.requires_grad
    assert slim(model.train(), any_plan("resnet18", "inner", 0.5)).training


def test_indices_travel_with_the_network(network: Build, any_plan: Make) -> None:
    model = network("resnet18")
    slimmed = slim(model, any_plan("resnet18", "inner", 0.5))
    tensors = [
        (path, name)
        for path, module in slimmed.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, Tensor)
    ]
    assert tensors == []
    assert all(value.device.type == "meta" for value in slimmed.to("meta").state_dict().values())


def test_layers_tell_their_new_widths(network: Build, any_plan: Make) -> None:
    model = network("osnet_x0_25")
    slimmed = slim(model, any_plan("osnet_x0_25", "inner", 0.5))
    depthwise = slimmed.get_submodule("conv4.0.conv2b.0.conv2")
    assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (16, 16, 16)
    assert depthwise.weight.shape == (16, 1, 3, 3)


def test_a_plan_that_removes_nothing_copies(network: Build, any_plan: Make, images: Tensor) -> None:
    model = network("resnet18").eval()
    slimmed = slim(model, any_plan("resnet18", "inner", 0.0))
    assert slimmed.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(slimmed(images), model(images))


@pytest.mark.parametrize(("rate", "whole"), [(0.05, True), (0.2, False)])
def test_scattering_happens_where_it_pays(
    rate: float, whole: bool, network: Build, any_plan: Make, images: Tensor
) -> None:
    model = network("resnet18")
    plan = any_plan("resnet18", "inner", rate)
    decay(model, plan.units, plan, 0.0)
    slimmed = slim(model, plan)
    assert (slimmed.get_submodule("layer3.1.conv2").out_channels == 256) == whole
    assert any(isinstance(layer, Widen) for layer in slimmed.modules()) != whole
    assert count(slimmed, (64, 32)).macs < count(model, (64, 32)).macs
    assert slim_difference(model, slimmed, plan, images) <= 1e-4


def test_slim_twice_is_refused(network: Build, any_plan: Make) -> None:
    model = network("resnet18")
    plan = any_plan("resnet18", "inner", 0.5)
    with pytest.raises(ConfigError, match="dense network"):
        slim(slim(model, plan), plan)


def test_widen_puts_channels_to_their_places() -> None:
    x = torch.randn(2, 3, 5, 4)
    wide = Widen((1, 4, 5), 7)(x)
    expected = torch.zeros(2, 7, 5, 4)
    expected[:, [1, 4, 5]] = x
    assert torch.equal(wide, expected)
    assert not list(Widen((0,), 2).parameters())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_slim_block_exports(network: Build, any_plan: Make) -> None:
    """The residual join of one block, in onnxruntime."""
    model = network("resnet18").eval()
    slimmed = slim(model, any_plan("resnet18", "inner", 0.5))
    block, x = slimmed.get_submodule("layer1.0"), torch.randn(1, 64, 8, 4)
    program = torch.onnx.export(block, (x,), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (exported,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(exported, block(x).detach().numpy(), atol=1e-4)
