"""Targets by name: what opens an artifact there, what it needs, and whether this machine has it."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from reid.config import Target, reject_unknown
from reid.errors import NoDevice
from reid.runtime.base import Runtime
from reid.runtime.onnxruntime import OnnxRuntime, demand_provider
from reid.runtime.openvino import OpenVinoRuntime, demand_openvino
from reid.runtime.pinned import demand_cores

__all__ = [
    "RUNTIMES",
    "Kind",
    "demand_usable",
    "for_embedding",
    "installed_runtimes",
    "usable_devices",
    "version_of",
]

_EMBED_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One runtime.

    Attributes:
        open: opens an artifact's file on a target.
        demand: raises `NoDevice` where this machine does not have what a target needs.
        package: as pip and `import` call it.
        devices: kinds of device that it runs on.
        fixed_threads: whether the first artifact of a process decides the threads of all later ones.
    """

    open: Callable[[Path, Target], Runtime]
    demand: Callable[[Target], None]
    package: str
    devices: tuple[str, ...] = ("cpu",)
    fixed_threads: bool = False


# Imported when named, so that artifacts can be opened where torch is not installed.
def _torchscript(path: Path, target: Target) -> Runtime:
    from reid.runtime.torchscript import TorchScriptRuntime

    return TorchScriptRuntime(path, target)


def _demand_engine(target: Target) -> None:
    from reid.runtime.torchscript import demand_engine

    demand_engine(target)


def _torch_cuda(path: Path, target: Target) -> Runtime:
    from reid.runtime.torch_cuda import TorchCudaRuntime

    return TorchCudaRuntime(path, target)


def _demand_cuda(target: Target) -> None:
    from reid.runtime.torch_cuda import demand_cuda

    demand_cuda(target)


def _executorch(path: Path, target: Target) -> Runtime:
    from reid.runtime.executorch import ExecuTorchRuntime

    return ExecuTorchRuntime(path, target)


def _demand_executorch(target: Target) -> None:
    from reid.runtime.executorch import demand_executorch

    demand_executorch(target)


_TORCHSCRIPT = Kind(open=_torchscript, demand=_demand_engine, package="torch")

RUNTIMES: dict[str, Kind] = {
    "onnxruntime": Kind(
        open=OnnxRuntime, demand=demand_provider, package="onnxruntime", devices=("cpu", "cuda")
    ),
    "openvino": Kind(open=OpenVinoRuntime, demand=demand_openvino, package="openvino"),
    "torchscript": _TORCHSCRIPT,
    "torchscript-qnnpack": _TORCHSCRIPT,
    "executorch": Kind(open=_executorch, demand=_demand_executorch, package="executorch", fixed_threads=True),
    "torch-cuda": Kind(open=_torch_cuda, demand=_demand_cuda, package="torch", devices=("cuda",)),
}
"""Runtimes by the name that `Target.runtime` uses."""


def demand_usable(target: Target) -> None:
    """Refuse a target that cannot be timed on here, before there is anything to open.

    Raises:
        ConfigError: the runtime is unknown; lists the known.
        NoDevice: the runtime cannot use the device or the cores, or is not installed.
    """
    reject_unknown([target.runtime], RUNTIMES, "target.runtime")
    RUNTIMES[target.runtime].demand(target)
    if target.affinity is not None:
        demand_cores(target.affinity)


def for_embedding(target: Target, threads: int) -> Target:
    """The same runtime and device as a target's, for many images rather than for timing.

    Args:
        target: that artifacts are timed on.
        threads: to embed with, where the runtime still lets one choose.
    """
    if RUNTIMES[target.runtime].fixed_threads:
        threads = target.threads
    return Target(runtime=target.runtime, device=target.device, threads=threads, batch=_EMBED_BATCH)


def installed_runtimes() -> list[str]:
    """Names of the runtimes whose package is installed and which find a device here; openvino is an extra."""
    return [name for name in RUNTIMES if usable_devices(name)]


def usable_devices(runtime: str) -> list[str]:
    """Kinds of device, "cpu" or "cuda", that a runtime can use here."""
    kind = RUNTIMES[runtime]
    if importlib.util.find_spec(kind.package) is None:
        return []
    return [
        device
        for device in kind.devices
        if _is_usable(Target(runtime=runtime, device="cuda:0" if device == "cuda" else device))
    ]


def version_of(runtime: str) -> str:
    """Version of the package that runs a target; another may be faster or slower."""
    package = RUNTIMES[runtime].package
    # What one imports as onnxruntime may be installed as onnxruntime-gpu.
    return str(getattr(importlib.import_module(package), "__version__", None) or metadata.version(package))


def _is_usable(target: Target) -> bool:
    try:
        demand_usable(target)
    except NoDevice:
        return False
    return True
