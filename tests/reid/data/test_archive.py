"""The abuse cases X3 of the fault list: nothing outside, nothing but files and folders, no bomb, no rest."""

import bz2
import gzip
import io
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.data.archive import ArchiveLimits, extract
from reid.errors import ConfigError, DataError

CONTENT = {"top/a.txt": b"alpha", "top/sub/b.txt": b"beta" * 1000, "top/empty.txt": b""}


def make_zip(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.filename = name  # the constructor would cut at NUL
            info.compress_type = compression
            archive.writestr(info, content)
    return path


def make_tar(
    path: Path, *members: tarfile.TarInfo, files: dict[str, bytes] | None = None, mode: str = "w"
) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in (files or {}).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return path


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "pack",
    [
        lambda path: make_zip(path, CONTENT),
        lambda path: make_zip(path, CONTENT, zipfile.ZIP_STORED),
        lambda path: make_tar(path, member("top/dir", tarfile.DIRTYPE), files=CONTENT),
        lambda path: make_tar(path, files=CONTENT, mode="w:gz"),
        lambda path: make_tar(path, files=CONTENT, mode="w:bz2"),
        lambda path: make_tar(path, files=CONTENT, mode="w:xz"),
    ],
    ids=["zip", "zip stored", "tar", "tar.gz", "tar.bz2", "tar.xz"],
)
def test_every_kind_comes_back_whole(tmp_path: Path, pack: Callable[[Path], Path]) -> None:
    """The suffix says nothing: the content decides."""
    told: list[int] = []
    extract(pack(tmp_path / "x"), tmp_path / "out", progress=lambda what, done, total: told.append(done))
    assert tree(tmp_path / "out") == CONTENT
    assert told == list(range(1, len(told) + 1))


def refused(archive: Path, match: str, limits: ArchiveLimits | None = None) -> None:
    """The archive is refused, and of its folder's neighbourhood nothing has changed."""
    before = tree(archive.parent)
    with pytest.raises(DataError, match=match):
        extract(archive, archive.parent / "inner" / "out", limits=limits)
    assert tree(archive.parent) == before
    assert not list((archive.parent / "inner").iterdir())


UNSAFE_NAMES = (
    "../evil",
    "top/../../evil",
    "/evil",
    "//evil",
    "..\\evil",
    "top\\evil",
    "C:/evil",
    "c:evil",
    "..",
)


@pytest.mark.parametrize("name", [*UNSAFE_NAMES, "a\0/../evil"])
def test_zip_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    refused(make_zip(tmp_path / "x.zip", {"top/a": b"1", name: b"evil"}), "would be written outside")


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_tar_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    refused(make_tar(tmp_path / "x.tar", files={"top/a": b"1", name: b"evil"}), "would be written outside")


@pytest.mark.parametrize(
    "bad",
    [
        member("top/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("top/link", tarfile.SYMTYPE, "a"),
        member("top/link", tarfile.LNKTYPE, "top/a"),
        member("top/device", tarfile.CHRTYPE),
        member("top/device", tarfile.BLKTYPE),
        member("top/pipe", tarfile.FIFOTYPE),
    ],
    ids=["symlink outside", "symlink inside", "hard link", "character device", "block device", "pipe"],
)
def test_tar_links_and_devices_are_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    refused(make_tar(tmp_path / "x.tar", bad, files={"top/a": b"1"}), "is a link or a device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_zip_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "x.zip", "is a link or a device")


def test_a_write_through_a_link_never_happens(tmp_path: Path) -> None:
    link = member("door", tarfile.SYMTYPE, str(tmp_path / "outside"))
    (tmp_path / "outside").mkdir()
    archive = make_tar(tmp_path / "x.tar", link)
    with tarfile.open(archive, "a") as opened:
        info = tarfile.TarInfo("door/evil")
        opened.addfile(info, io.BytesIO())
    refused(archive, "'door' is a link")


def test_modes_of_the_archive_are_not_taken_over(tmp_path: Path) -> None:
    info = tarfile.TarInfo("program")
    info.mode = 0o6777
    extract(make_tar(tmp_path / "x.tar", info), tmp_path / "out")
    assert not (tmp_path / "out" / "program").stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path) -> None:
    zeros = b"\0" * (30 << 20)
    zipped = make_zip(tmp_path / "x.zip", {"zeros": zeros})
    assert len(zeros) / zipped.stat().st_size > 500
    refused(zipped, "200 times its size")
    packed = make_tar(tmp_path / "x.tar.bz2", files={"zeros": zeros}, mode="w:bz2")
    refused(packed, "200 times its size")


def test_a_bomb_of_kilobytes_that_holds_gigabytes_is_stopped_at_once(tmp_path: Path) -> None:
    """4 GB of zeros in bzip2 streams one after the other, which decompress as one file."""
    stream = bz2.compress(b"\0" * (40 << 20))
    streams = (4 << 30) // (40 << 20)
    header = tarfile.TarInfo("zeros")
    header.size = streams * (40 << 20)
    (tmp_path / "x").write_bytes(bz2.compress(header.tobuf()) + stream * streams)
    assert (tmp_path / "x").stat().st_size < 42_000
    start = time.process_time()
    refused(tmp_path / "x", "200 times its size")
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE]
)
def test_a_bomb_in_a_header_is_stopped_before_it_is_read(tmp_path: Path, kind: bytes) -> None:
    """The module reads the continuation of a header whole; 400 MB of zeros are half a megabyte of gzip."""
    header = tarfile.TarInfo("long")
    header.type, header.size = kind, 400 << 20
    (tmp_path / "x").write_bytes(gzip.compress(header.tobuf() + b"\0" * (1 << 20)))
    refused(tmp_path / "x", "a header of 419430400 bytes")


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", {"zeros": b"\0" * (30 << 20)})
    raw = archive.read_bytes()
    true_size = (30 << 20).to_bytes(4, "little")
    assert raw.count(true_size) == 2
    archive.write_bytes(raw.replace(true_size, (10).to_bytes(4, "little")))
    refused(archive, "damaged|200 times")


@pytest.mark.parametrize(
    "pack", [make_zip, lambda path, files: make_tar(path, files=files)], ids=["zip", "tar"]
)
def test_size_and_entries_are_limited(tmp_path: Path, pack: Callable[[Path, dict[str, bytes]], Path]) -> None:
    archive = pack(tmp_path / "x", CONTENT)
    refused(archive, "more than 4000 bytes", ArchiveLimits(total_bytes=4000))
    refused(archive, "more than 2 entries", ArchiveLimits(entries=2))
    extract(archive, tmp_path / "out", limits=ArchiveLimits(total_bytes=4005, entries=3))
    assert tree(tmp_path / "out") == CONTENT


def test_the_default_limits_are_those_of_the_security_page() -> None:
    assert ArchiveLimits() == ArchiveLimits(total_bytes=20_000_000_000, entries=2_000_000, ratio=200)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    refused(tmp_path / "x.zip", "'a' is there twice")
    refused(make_tar(tmp_path / "x.tar", files={"b": b"1", "b/c": b"2"}), "'b/c' is there twice")


def test_long_names_are_refused(tmp_path: Path) -> None:
    refused(make_zip(tmp_path / "x.zip", {"a/" + "x" * 300: b"1"}), "name of more than 255 bytes")


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", {"a": b"1"})
    raw = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + offset] |= 1
    archive.write_bytes(raw)
    refused(archive, "is encrypted")


@pytest.mark.parametrize(
    "pack",
    [
        lambda path: make_zip(path, CONTENT),
        lambda path: make_tar(path, files=CONTENT),
        lambda path: make_tar(path, files=CONTENT, mode="w:gz"),
        lambda path: make_tar(path, files=CONTENT, mode="w:bz2"),
        lambda path: make_tar(path, files=CONTENT, mode="w:xz"),
    ],
    ids=["zip", "tar", "gz", "bz2", "xz"],
)
def test_cut_archives_are_refused(tmp_path: Path, pack: Callable[[Path], Path]) -> None:
    whole = pack(tmp_path / "whole").read_bytes()
    (tmp_path / "whole").unlink()
    (tmp_path / "x").write_bytes(whole[: len(whole) * 2 // 5])
    refused(tmp_path / "x", "damaged|neither a zip nor a tar")


def test_a_tar_with_a_damaged_header_inside_is_refused(tmp_path: Path) -> None:
    """Python's tarfile takes it for the end of the archive and would give half of the files."""
    archive = make_tar(tmp_path / "x.tar", files=CONTENT)
    raw = bytearray(archive.read_bytes())
    raw[1024] ^= 0xFF  # the second header, after one header and one block of content
    archive.write_bytes(raw)
    refused(archive, "damaged: it ends early")


def test_a_changed_byte_in_a_zip_is_noticed(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", {"a": b"alphabet"}, zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"alphabet", b"alphabeT", 1))
    refused(archive, "damaged: Bad CRC-32")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"neither")
    refused(tmp_path / "x.zip", "neither a zip nor a tar")
    with pytest.raises(DataError, match="is no file"):
        extract(tmp_path / "absent.zip", tmp_path / "out")


def test_a_folder_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(ConfigError, match="is not empty"):
        extract(make_zip(tmp_path / "x.zip", CONTENT), tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"kept"}
