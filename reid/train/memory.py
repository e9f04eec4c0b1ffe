"""Telling a lack of memory from other failures."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reid.errors import OutOfMemory

__all__ = ["memory_errors"]

# torch has no class of its own for a failed allocation on the CPU.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


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
        if plain or _CPU_ALLOCATOR in str(error):
            raise OutOfMemory(f"out of memory while {doing}; use smaller batches or images") from error
        raise
