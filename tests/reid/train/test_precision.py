"""Which arithmetic trains a network, and that it computes what float32 does."""

import pytest
import torch
from torch import Tensor, nn

from reid.errors import NotHere
from reid.models import build
from reid.train import precision
from reid.train.precision import autocast_type, bf16_safe, gains_from_bf16

CPU = torch.device("cpu")


def gains(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr(precision, "gains_from_bf16", lambda _: answer)


@pytest.mark.parametrize("gain", [True, False])
def test_auto_follows_the_device(gain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    gains(monkeypatch, gain)
    network = build("resnet18", 3)
    assert autocast_type(network, (128, 64), "auto") is (torch.bfloat16 if gain else None)
    assert autocast_type(network, (128, 64), "bf16") is torch.bfloat16
    assert autocast_type(network, (128, 64), "fp32") is None
    assert autocast_type(network, (128, 64), "fp16") is torch.float16


@pytest.mark.parametrize(
    ("able", "gain"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, True),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, False),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD EPYC"}, True),
        ({"amx_bf16": False, "avx512_bf16": False, "cpu_name": "AMD EPYC"}, False),
        ({}, False),
    ],
)
def test_gain_is_read_from_the_processor(
    able: dict[str, object], gain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert gains_from_bf16(CPU) is gain


@pytest.mark.parametrize(
    ("name", "width", "safe"),
    [("resnet18", 64, True), ("resnet18", 33, True), ("resnet18", 32, False), ("osnet_x0_25", 32, True)],
)
def test_strided_convolutions_to_one_column_are_unsafe(name: str, width: int, safe: bool) -> None:
    network = build(name, 3)
    assert bf16_safe(network, (2 * width, width)) is safe
    assert network.training


def test_unsafe_size_is_float32_by_default_and_refused_as_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    gains(monkeypatch, True)
    network = build("resnet18", 3)
    assert autocast_type(network, (64, 32), "auto") is None
    with pytest.raises(NotHere, match=r"input_size \[64, 32\] on a CPU; set it to auto or fp32"):
        autocast_type(network, (64, 32), "bf16")


@pytest.mark.parametrize(("name", "width"), [("resnet18", 64), ("osnet_x0_25", 64), ("osnet_x0_25", 32)])
def test_every_layer_computes_in_bf16_what_float32_does(name: str, width: int) -> None:
    """The check that `bf16_safe` lets nothing wrong through, on whatever this machine is."""
    torch.manual_seed(0)
    network = build(name, 3).eval()
    assert bf16_safe(network, (2 * width, width))
    wrong: list[str] = []

    def compare(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        # Freed memory full of NaN shows kernels that read what they did not write.
        del inputs_of_nan[:]
        with torch.autocast("cpu", enabled=False):
            exact = module._conv_forward(inputs[0].float(), module.weight.float(), None)
        bias = 0 if module.bias is None else module.bias[:, None, None]
        error = (output.float() - exact - bias).norm() / (exact.norm() + 1e-6)
        if not error < 0.02:
            wrong.append(f"{module} {tuple(output.shape)}: {float(error)}")
        inputs_of_nan.extend(torch.full((size,), torch.nan) for size in (1 << 12, 1 << 16, 1 << 20))

    inputs_of_nan: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(compare)
    images = torch.randn(8, 3, 2 * width, width).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        network.to(memory_format=torch.channels_last)(images)
    assert not wrong
