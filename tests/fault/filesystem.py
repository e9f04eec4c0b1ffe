"""Filesystems that are soon full."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def filesystem(folder: Path, size: str) -> Iterator[Path]:
    """A filesystem of its own of that size; skips where none can be mounted."""
    folder.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(call, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small filesystem here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that leaves nothing free."""
    filler = folder / "filler"
    filler.write_bytes(b"\0" * shutil.disk_usage(folder).free)
    return filler
