"""Which arithmetic the forward pass of a training uses."""

import torch
from torch import Tensor, nn

from reid.errors import NotHere
from reid.models.modes import evaluating

__all__ = ["autocast_type", "bf16_safe", "gains_from_bf16"]

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast_type(model: nn.Module, input_size: tuple[int, int], precision: str) -> torch.dtype | None:
    """Type that the forward pass computes in under autocast, or None for plain float32.

    Args:
        model: on the device where it will be trained.
        input_size: (height, width) in pixels.
        precision: "fp32", "bf16", "fp16", or "auto" for bf16 where the device gains from it and computes it
            right.

    Raises:
        NotHere: "bf16" or "fp16" where the device computes it wrong.
    """
    device = next(model.parameters()).device
    if precision == "fp32" or (precision == "auto" and not gains_from_bf16(device)):
        return None
    safe = device.type != "cpu" or bf16_safe(model, input_size)
    if precision != "auto" and not safe:
        raise NotHere(
            f"precision {precision} gives wrong results at input_size {list(input_size)} on a CPU; "
            "set it to auto or fp32"
        )
    return _TYPES.get(precision, torch.bfloat16) if safe else None


def gains_from_bf16(device: torch.device) -> bool:
    """Whether a training step is faster in bfloat16 on this device.

    On Intel's CPUs that takes matrix tiles (AMX). Measured on one core of a Xeon that has them, batch 64 at
    128 x 64, channels last: 2.0 times as fast for ResNet-18, 1.2 times for OSNet x0.25. Restricted to its AVX-512
    bfloat16 instructions the same core gains nothing, without those it takes up to 2.7 times as long. On AMD's
    these instructions are enough: on one core of an EPYC 1.8 and 1.2 times.
    """
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        amd = str(able.get("cpu_name", "")).startswith("AMD")
        return bool(able.get("amx_bf16") or (amd and able.get("avx512_bf16")))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def bf16_safe(model: nn.Module, input_size: tuple[int, int]) -> bool:
    """Whether every convolution of the network is one that CPUs with AMX compute right in bfloat16.

    Strided convolutions to a map one pixel wide come out as garbage or NaN there, in torch 2.13 too
    (https://github.com/pytorch/pytorch/issues/169688). Of 3640 random convolutions and linear layers compared
    with float32, forward and backward, these were wrong and no others.

    Args:
        model: left as it is.
        input_size: (height, width) in pixels.
    """
    unsafe: list[nn.Module] = []

    def look(module: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d) and module.stride[-1] > 1 and output.shape[-1] == 1:
            unsafe.append(module)

    hooks = [
        module.register_forward_hook(look) for module in model.modules() if isinstance(module, nn.Conv2d)
    ]
    try:
        with evaluating(model), torch.no_grad():
            model(torch.zeros(1, 3, *input_size, device=next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return not unsafe
