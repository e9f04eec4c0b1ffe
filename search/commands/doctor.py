"""`reid-pareto doctor`: what this machine can run."""

import platform
from collections.abc import Collection
from typing import Annotated, Any

import typer

from reid.errors import ReidParetoError
from reid.quantize import offered
from reid.runtime import RUNTIMES, installed_runtimes, usable_devices
from reid.timing import DeviceLock
from reid.timing.machine import INT8_DOTS, cores, cpu_flags, cpu_name
from search.console import out as console
from search.console import print_json

__all__ = ["doctor", "examine", "int8_verdict", "lock_verdict", "targets"]

INT8_FLAGS = ("avx2", *INT8_DOTS)
"""Processor flags under which int8 products are faster than fp32 ones (Linux names)."""


def doctor(json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Say which devices, runtimes and int8 instructions this machine has, and whether its timing lock works.

    Example: reid-pareto doctor --json
    """
    found = examine()
    if json:
        print_json(found)
        return
    for name, value in found.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        console.print(f"{name.replace('_', ' ')}: {shown if shown else 'none'}", markup=False)


def targets() -> list[str]:
    """Each runtime and kind of device that works here, with the schemes offered on it."""
    return [
        f"{runtime} on {device} ({' '.join(offered(runtime, device))})"
        for runtime in RUNTIMES
        for device in usable_devices(runtime)
    ]


def int8_verdict(flags: Collection[str]) -> str:
    """Whether integer products are faster than float ones on a processor with these flags."""
    dots = [flag for flag in INT8_DOTS if flag in flags]
    if dots:
        return f"real ({', '.join(dots)})"
    if "avx2" in flags:
        return "slow: AVX2 without dot products, int8 gains little, and saturates unless weights have 7 bits"
    return "none"


def lock_verdict() -> str:
    """Whether a timing can have the CPU to itself, and if not, why."""
    try:
        with DeviceLock("cpu").exclusive():
            return "works"
    except ReidParetoError as error:
        return f"fails: {error}"


def examine() -> dict[str, Any]:
    """What `doctor` prints, as plain values."""
    import torch

    from reid.torchvision_compat import torchvision

    flags = cpu_flags()
    return {
        "cores": cores(),
        "cpu": cpu_name(),
        "int8_instructions": [flag for flag in INT8_FLAGS if flag in flags],
        "int8_kernels": int8_verdict(flags),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "runtimes": installed_runtimes(),
        "targets": targets(),
        "timing_lock": lock_verdict(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
