"""The one place that opens archives, which are foreign and not trusted.

Nothing is written outside the target, nothing but plain files and folders is made, modes and owners of the
archive are not taken over, and a bomb is stopped by what it has unpacked, whatever its headers say.
"""

import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Self

from reid.data.folder import building
from reid.data.parallel import Progress
from reid.errors import ConfigError, DataError
from reid.files import write_blocks, write_with

__all__ = ["ArchiveLimits", "extract", "pack"]

_BLOCK_BYTES = 1 << 20
_LONGEST_NAME = 255
_LARGEST_HEADER = 1 << 16
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """What an archive may grow to.

    Attributes:
        total_bytes: of all files together.
        entries: files and folders.
        ratio: unpacked bytes per byte of the archive.
    """

    total_bytes: int = 20 * 10**9
    entries: int = 2_000_000
    ratio: int = 200


class _Header(tarfile.TarInfo):
    """A header of a tar; those that the module would read whole into memory, whatever they claim, are limited."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """As the module's own.

        Raises:
            tarfile.TarError: the header goes on in too large a record, or has one of a sparse file.
        """
        header = super().frombuf(buf, encoding, errors)
        if header.type in _CONTINUED and header.size > _LARGEST_HEADER:
            raise tarfile.TarError(f"a header of {header.size} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.TarError("a sparse file")
        return header


_CONTINUED = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


class _Entry(NamedTuple):
    """One member: its name as the archive spells it, and its content, None for a folder."""

    name: str
    content: IO[bytes] | None


class _Meter:
    """Counts what is unpacked and refuses to go on past the limits."""

    def __init__(self, archive: Path, limits: ArchiveLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._most_bytes = min(limits.total_bytes, limits.ratio * archive.stat().st_size)
        self._bytes = 0
        self.entries = 0

    def entry(self) -> None:
        self.entries += 1
        if self.entries > self._limits.entries:
            raise DataError(f"{self._archive} holds more than {self._limits.entries} entries; refused")

    def blocks(self, content: IO[bytes]) -> Iterator[bytes]:
        while block := content.read(_BLOCK_BYTES):
            self._bytes += len(block)
            if self._bytes > self._most_bytes:
                raise DataError(
                    f"{self._archive} unpacks to more than {self._most_bytes} bytes "
                    f"({self._limits.ratio} times its size, or {self._limits.total_bytes} bytes); refused"
                )
            yield block


def extract(
    archive: Path,
    target: Path,
    *,
    limits: ArchiveLimits | None = None,
    progress: Progress | None = None,
) -> None:
    """Unpack a zip or tar archive into the folder `target`, wholly or not at all.

    Args:
        archive: zip or tar file; its content decides, its suffix does not.
        target: absent or an empty folder.
        limits: None takes the defaults.
        progress: called after every entry; the total is 0 (unknown) for a tar, which has no table.

    Raises:
        ConfigError: `target` holds something.
        DataError: no archive, damaged, encrypted, over a limit, or an entry is a link, a device, twice there
            or named to lie outside; names the entry.
        ResourceError: the disk is full.
    """
    if not archive.is_file():
        raise DataError(f"{archive} is no file; name the downloaded archive")
    meter = _Meter(archive, limits or ArchiveLimits())
    with building(target) as work, _reading(archive):
        # A tar may hold a zip at its very end, where a zip keeps its table, so tar is asked first.
        if (tar := _opened_tar(archive)) is not None:
            with tar:
                _write_all(_tar_entries(tar, archive), work, archive, meter, progress, 0)
        elif zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as table:
                entries = len(table.infolist())
                _write_all(_zip_entries(table, archive), work, archive, meter, progress, entries)
        else:
            raise DataError(f"{archive} is neither a zip nor a tar archive")


def pack(folder: Path, target: Path) -> Path:
    """Write the plain files of a folder as a zip archive; equal folders of one name give equal bytes.

    Entries are sorted, stored without compression and dated 1980-01-01, and lie below the folder's name.

    Args:
        folder: holds plain files only.
        target: zip file to make; it must not exist.

    Raises:
        ConfigError: `target` exists.
        ResourceError: it cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise ConfigError(f"{target} exists already; name another file, or remove it")

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as table:
            for path in sorted(folder.iterdir()):
                # The constructor's own defaults: the earliest date a zip knows, readable files, made on Unix.
                entry = zipfile.ZipInfo(f"{folder.name}/{path.name}")
                entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
                table.writestr(entry, path.read_bytes())

    return write_with(target, write)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what the standard library raises on damaged archives into a DataError."""
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"{archive} is damaged: {error}; download it again") from error
    except OSError as error:
        # The decompressors raise a bare OSError for bad data; what the system raises has a number.
        if error.errno is None:
            raise DataError(f"{archive} is damaged: {error}; download it again") from error
        raise


_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, NotImplementedError,
    UnicodeDecodeError,
)  # fmt: skip


def _zip_entries(opened: zipfile.ZipFile, archive: Path) -> Generator[_Entry, None, None]:
    for info in opened.infolist():
        # `filename` ends at the first NUL; `orig_filename` is what the archive really says.
        name = info.orig_filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive}: entry {name!r} is a link or a device; refused")
        if info.flag_bits & 0x1:
            raise DataError(f"{archive}: entry {name!r} is encrypted; unpack it yourself and pass the folder")
        if info.is_dir():
            yield _Entry(name, None)
        else:
            with opened.open(info) as content:
                yield _Entry(name, content)


def _opened_tar(archive: Path) -> tarfile.TarFile | None:
    try:
        return tarfile.open(archive, tarinfo=_Header)
    except tarfile.ReadError:
        return None


def _tar_entries(opened: tarfile.TarFile, archive: Path) -> Generator[_Entry, None, None]:
    while (info := opened.next()) is not None:
        # The module remembers every member it has read; two million of them would fill the memory.
        opened.members.clear()  # type: ignore[attr-defined]
        if not (info.isreg() or info.isdir()):
            raise DataError(f"{archive}: entry {info.name!r} is a link or a device; refused")
        yield _Entry(info.name, opened.extractfile(info) if info.isreg() else None)
    # At a damaged or missing header the module stops as if the archive ended there; a real end is zeros.
    assert opened.fileobj is not None
    opened.fileobj.seek(opened.offset)
    if opened.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise DataError(f"{archive} is damaged: it ends early; download it again")


def _write_all(
    entries: Generator[_Entry, None, None],
    work: Path,
    archive: Path,
    meter: _Meter,
    progress: Progress | None,
    total: int,
) -> None:
    # Closed here, or an entry that was refused would keep the archive open until its error is forgotten.
    with closing(entries):
        for name, content in entries:
            meter.entry()
            path = work.joinpath(*_parts(name, archive))
            try:
                if content is None:
                    path.mkdir(parents=True, exist_ok=True)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_blocks(path, meter.blocks(content))
            except (FileExistsError, NotADirectoryError) as error:
                raise DataError(f"{archive}: entry {name!r} is there twice; refused") from error
            if progress is not None:
                progress("unpack", meter.entries, total)


def _parts(name: str, archive: Path) -> tuple[str, ...]:
    """Components of an entry's name.

    Raises:
        DataError: the name could mean a place outside the target, here or on another system.
    """
    path = PurePosixPath(name)
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise DataError(
            f"{archive}: entry {name[:40]!r}... has a name of more than {_LONGEST_NAME} bytes; refused"
        )
    unsafe = ".." in path.parts or path.is_absolute() or "\\" in name or "\0" in name or _DRIVE.match(name)
    if unsafe:
        raise DataError(f"{archive}: entry {name!r} would be written outside the folder; refused")
    return path.parts
