"""Decoded images of a split at one input size, as one memory-mapped array that all trials share.

Decoding is done once per input size instead of once per epoch and trial, and processes that map the same
file share its pages. Another selection of the same images, as another validation split makes, is a file of its
own whose rows are copied, not decoded again.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from reid.data.image import RESIZE_FILTER, BadImage, decode, describe_bad
from reid.data.parallel import Progress, map_in_order
from reid.data.sample import Sample
from reid.errors import ConfigError, DataError, ResourceError
from reid.files import user_cache, write_atomic, write_blocks, write_with

__all__ = ["DecodedImages", "decode_images"]

_FOLDER = ".decoded"
_FORMAT = 1
_ROW_KEY_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImages:
    """Pixels of a sequence of samples.

    Attributes:
        array: (N, H, W, 3) uint8 RGB, memory-mapped and read-only; row i belongs to sample i.
        path: the file that is mapped.
    """

    array: np.memmap[Any, np.dtype[np.uint8]]
    path: Path

    def __len__(self) -> int:
        return len(self.array)


def decode_images(
    samples: Sequence[Sample],
    input_size: tuple[int, int],
    folder: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    gate: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> DecodedImages:
    """Decode and resize all samples, or map what an earlier call decoded.

    The file is `<folder>/.decoded/<key>.npy`, with the keys of its rows beside it, or lies below the user's
    cache folder where `folder` cannot be written. Its key follows from names, sizes and modification times of
    the images, so a changed image is decoded again. Two processes that need the same file build it once; a
    crash leaves no partial file.

    Args:
        samples: at least one.
        input_size: (height, width) in pixels.
        folder: the dataset's root.
        workers: decoding threads, >= 1; None takes one per core.
        progress: called after every few images.
        gate: entered around the decoding of each image, in the thread that decodes; holds a device so that no timing
            runs beside it.

    Raises:
        ConfigError: there are no samples.
        DataError: images are missing or cannot be decoded; lists up to ten.
        ResourceError: the disk is full, or neither folder can be written.
    """
    if not samples:
        raise ConfigError("decode_images needs at least one sample")
    shape = (len(samples), *input_size, 3)
    key, row_keys = _keys(samples, input_size, folder)
    name = f"{key}.npy"
    # Images are told by name, size and date, and those of two datasets may have all in common.
    own = hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]
    homes = (folder / _FOLDER, user_cache() / "decoded" / own)
    for home in homes:
        if (found := _open(home / name, shape)) is not None:
            return found
    home = _writable(homes)
    path = home / name
    with _locked(path.with_suffix(".lock")):
        # Another process may have built it while this one waited for the lock.
        if (found := _open(path, shape)) is None:
            _remove_leftovers(path)
            decoded = _decoded_before(homes, row_keys, input_size)
            rows = map_in_order(
                partial(_row, decoded=decoded, input_size=input_size, gate=gate),
                [(row_key, sample.path) for row_key, sample in zip(row_keys, samples, strict=True)],
                what="decode",
                workers=workers,
                progress=progress,
            )
            write_with(path, lambda temporary: _write(temporary, rows, shape, folder))
            write_atomic(path.with_suffix(".rows"), b"".join(row_keys))
            found = _open(path, shape)
    if found is None:
        raise ResourceError(f"{path} does not hold what was just written; check the disk")
    return found


def _keys(samples: Sequence[Sample], input_size: tuple[int, int], folder: Path) -> tuple[str, list[bytes]]:
    """Key of the whole file, and of each of its rows."""
    header = f"{_FORMAT} {input_size[0]}x{input_size[1]} {RESIZE_FILTER}\n".encode()
    digest = hashlib.sha256(header)
    root = folder.resolve()
    row_keys, bad = [], []
    for path, _, _ in samples:
        try:
            state = path.stat()
        except OSError as error:
            bad.append(BadImage(path=path, reason=error.strerror or "unreadable"))
            continue
        name = path.relative_to(root) if path.is_relative_to(root) else path
        line = f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode()
        digest.update(line)
        row_keys.append(hashlib.sha256(header + line).digest()[:_ROW_KEY_BYTES])
    if bad:
        raise DataError(f"{describe_bad(bad, root)}; prepare the data again")
    return digest.hexdigest()[:32], row_keys


def _decoded_before(
    homes: Sequence[Path], row_keys: Sequence[bytes], input_size: tuple[int, int]
) -> dict[bytes, NDArray[np.uint8]]:
    """Those of the rows that stand in files of other selections, by key."""
    wanted = set(row_keys)
    found: dict[bytes, NDArray[np.uint8]] = {}
    for path in (path for home in homes for path in sorted(home.glob("*.rows"))):
        try:
            joined = path.read_bytes()
        except OSError:
            continue
        keys = [joined[at : at + _ROW_KEY_BYTES] for at in range(0, len(joined), _ROW_KEY_BYTES)]
        if not wanted.isdisjoint(keys):
            other = _open(path.with_suffix(".npy"), (len(keys), *input_size, 3))
            if other is not None:
                found.update((key, other.array[at]) for at, key in enumerate(keys) if key in wanted)
    return found


def _row(
    item: tuple[bytes, Path],
    *,
    decoded: dict[bytes, NDArray[np.uint8]],
    input_size: tuple[int, int],
    gate: Callable[[], AbstractContextManager[Any]],
) -> NDArray[np.uint8] | BadImage:
    key, path = item
    if (known := decoded.get(key)) is not None:
        return known
    with gate():
        return decode(path, input_size)


def _open(path: Path, shape: tuple[int, ...]) -> DecodedImages | None:
    """Map `path`; None when it is absent or is not what `shape` asks for."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(array, np.memmap) or array.shape != shape or array.dtype != np.uint8:
        return None
    return DecodedImages(array=array, path=path)


def _write(
    path: Path, rows: Iterable[NDArray[np.uint8] | BadImage], shape: tuple[int, ...], root: Path
) -> None:
    header = BytesIO()
    write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    bad: list[BadImage] = []
    # Written, not mapped: a full disk is then an error that can be reported and not a fatal signal.
    write_blocks(path, chain([header.getvalue()], _good(rows, bad)))
    if bad:
        raise DataError(
            f"{describe_bad(bad, root.resolve())}; replace them, or delete {root} and prepare it again with --skip-bad"
        )


def _good(rows: Iterable[NDArray[np.uint8] | BadImage], bad: list[BadImage]) -> Iterator[memoryview]:
    """Pixels of the rows until the first bad one; the bad ones are collected."""
    for row in rows:
        if isinstance(row, BadImage):
            bad.append(row)
        elif not bad:
            yield np.ascontiguousarray(row).data


def _remove_leftovers(path: Path) -> None:
    """Remove what a killed builder left; the caller holds the lock, so nobody is writing it."""
    for leftover in path.parent.glob(f".{path.stem}.*.tmp{path.suffix}"):
        leftover.unlink(missing_ok=True)


def _writable(homes: Sequence[Path]) -> Path:
    for home in homes:
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(home, os.W_OK | os.X_OK):
            return home
    raise ResourceError(
        f"neither {homes[0]} nor {homes[1]} can be written; set XDG_CACHE_HOME to a folder that can"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that the kernel lets go of if this process dies."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
