"""The machine and the accelerators that a worker sees, and how a broken one is told from a broken trial."""

import os
import socket
from functools import cache

from reid.timing.machine import cores, cpu_name

__all__ = ["device_is_lost", "this_machine", "visible_device"]

# What the CUDA driver says of hardware that fails, as opposed to a program that does (an assert in a kernel, an
# illegal address): NVIDIA, CUDA Driver API, CUresult.
_LOST = (
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "ecc error encountered",
    "gpu is lost",
    "gpu has fallen off the bus",
    "no cuda-capable device is detected",
    "cuda-capable device(s) is/are busy or unavailable",
    "system driver mismatch",
)


def visible_device() -> str:
    """The accelerators that this process may use, as their mask names them, or "cpu" where it is given none."""
    mask = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"cuda:{mask}" if mask else "cpu"


@cache
def this_machine() -> dict[str, str]:
    """Host, processor and cores, as records and facts name them."""
    return {"host": socket.gethostname(), "cpu": cpu_name(), "cores": f"{cores()} cores"}


def device_is_lost(message: str) -> bool:
    """Whether an error says that the accelerator itself failed, so that every further trial on it would fail too."""
    said = message.lower()
    return any(text in said for text in _LOST)
