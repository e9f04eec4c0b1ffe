"""What this machine is, for records of what was timed on it."""

import os
import platform
from collections.abc import Collection
from pathlib import Path

__all__ = ["INT8_DOTS", "cores", "cpu_flags", "cpu_name", "int8_saturates"]

INT8_DOTS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
"""Instruction sets that add products of 8 bits without loss, by their Linux names."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_name() -> str:
    """Model name of the processor as the system gives it."""
    named = (value for key, value in _cpuinfo() if key == "model name")
    return next(named, platform.processor() or platform.machine())


def cpu_flags() -> frozenset[str]:
    """Instruction sets of the processor by their Linux names, e.g. "avx512_vnni"."""
    lines = (value for key, value in _cpuinfo() if key in ("flags", "Features"))
    return frozenset(flag for value in lines for flag in value.split())


def int8_saturates(flags: Collection[str] | None = None) -> bool:
    """Whether sums of two products of uint8 and int8 are cut off at 16 bits here, as `vpmaddubsw` of x86 does it.

    Args:
        flags: of a processor; None takes this one's.
    """
    known = cpu_flags() if flags is None else flags
    return "ssse3" in known and not any(flag in known for flag in INT8_DOTS)


def _cpuinfo() -> list[tuple[str, str]]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    pairs = (line.partition(":") for line in lines)
    return [(key.strip(), value.strip()) for key, _, value in pairs]
