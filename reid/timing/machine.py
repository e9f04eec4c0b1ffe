"""What this machine is, for records of what was timed on it."""

import os
import platform
from pathlib import Path

__all__ = ["cores", "cpu_flags", "cpu_name"]


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


def _cpuinfo() -> list[tuple[str, str]]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    pairs = (line.partition(":") for line in lines)
    return [(key.strip(), value.strip()) for key, _, value in pairs]
