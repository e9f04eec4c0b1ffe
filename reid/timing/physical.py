"""Which piece of hardware a device name means: "cuda:0" is another GPU in every process that sees its own only."""

import os
import re

__all__ = ["gpu_name", "physical_device"]


def physical_device(device: str) -> str:
    """A name that is the same in every process of this machine.

    Args:
        device: as this process calls it, e.g. "cpu", "cuda" or "cuda:0".

    Returns:
        "cpu", or "cuda-" with the UUID of the GPU; where the driver tells none, with what the mask
        CUDA_VISIBLE_DEVICES has in its place, else with its number.
    """
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return device
    index = int(number or 0)
    mask = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    name = _uuid(index) or (mask[index].strip() if index < len(mask) else str(index))
    return f"cuda-{re.sub(r'[^A-Za-z0-9]+', '-', name)}"


def gpu_name(device: str) -> str | None:
    """Model of a GPU, e.g. "NVIDIA H100 80GB HBM3"; None where the device is none or there is none."""
    import torch

    kind, _, number = device.partition(":")
    if kind != "cuda" or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name(int(number or 0)))


def _uuid(index: int) -> str | None:
    # Torch numbers GPUs as this process sees them; a lock on a GPU is taken by what is going to use it anyway.
    import torch

    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        return None
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    return None if uuid is None else str(uuid)
