"""How the process keeps the memory that every training step asks for again."""

import ctypes
import platform
from functools import cache

__all__ = ["keep_freed_memory"]

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KEPT_BYTES = 1 << 30
_PAD_BYTES = 256 << 20


@cache
def keep_freed_memory() -> bool:
    """Let malloc keep what a step frees instead of giving it back to the kernel; once per process.

    A step allocates and frees the same activations over and over. By default glibc maps large blocks anew each
    time, and the kernel clears their pages again. See malloc's M_TRIM_THRESHOLD, M_TOP_PAD and
    M_MMAP_THRESHOLD in mallopt(3).

    Returns:
        Whether the settings were taken; never on another C library.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = (
        (_M_MMAP_THRESHOLD, _KEPT_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_TOP_PAD, _PAD_BYTES),
    )
    return all(mallopt(name, value) == 1 for name, value in settings)
