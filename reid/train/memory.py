"""Telling a lack of memory from other failures."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reid.errors import OutOfMemory

__all__ = ["memory_errors"]

_SIGNS = ("DefaultCPUAllocator", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
"""What errors say for which torch has no class: of the CPU, of CUDA outside torch's allocator, of cuBLAS and cuDNN."""


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn a failed allocation into OutOfMemory.

    Args:
        doing: what runs inside, for the message.

    Raises:
        OutOfMemory: memory of the machine or of the accelerator ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        plain = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if plain or any(sign in str(error) for sign in _SIGNS):
            raise OutOfMemory(f"out of memory while {doing}; use smaller batches or images") from error
        raise
