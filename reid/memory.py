"""Telling a lack of memory from other failures."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reid.errors import OutOfMemory

__all__ = ["lacks_memory", "memory_errors"]

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
        if lacks_memory(error):
            raise OutOfMemory(f"out of memory while {doing}; use smaller batches or images") from error
        raise


def lacks_memory(error: BaseException) -> bool:
    """Whether an error is a failed allocation, of the machine or of an accelerator."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
