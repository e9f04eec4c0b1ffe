"""MSMT17 as it is distributed: list files beside the folders of its images.

Source: Wei et al., Person Transfer GAN to Bridge Domain Gap for Person Re-identification, CVPR 2018. A line of a
list reads `0000/0000_000_01_0303morning_0015_0.jpg 0`: file, identity; the third field of the file's name is
the camera, two digits, 01 to 15. Training and test identities are both counted from 0.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from reid.data.layout import Listing, Placement, find_folder
from reid.data.market1501 import FOLDERS
from reid.errors import DataError

__all__ = ["msmt17_layout"]

_LISTS = {
    "list_train.txt": ("train", FOLDERS["train"]),
    "list_val.txt": ("train", FOLDERS["train"]),
    "list_query.txt": ("test", FOLDERS["query"]),
    "list_gallery.txt": ("test", FOLDERS["gallery"]),
}
"""Half of the identities and folder of the prepared dataset that each list belongs to."""

_VERSIONS = (
    {"train": "train", "test": "test"},
    {"train": "mask_train_v2", "test": "mask_test_v2"},
)
"""Folders of the two halves in V1, and in V2, where faces are masked."""

_LINE = re.compile(r"(?P<file>\S.*\S)\s+(?P<person>\d{1,9})", re.ASCII)
_NAME = re.compile(r"\d+_\d+_(?P<camera>\d\d)_.+\.(?:jpe?g|png)", re.IGNORECASE | re.ASCII)


class _Entry(NamedTuple):
    """One line of a list."""

    half: str
    folder: str
    file: PurePosixPath
    person: int
    camera: int


def msmt17_layout(folder: Path, source: Path) -> Listing:
    """Images of MSMT17, V1 or V2; train and val lists together are the training images.

    Identities become one more than in the lists, because 0 means a distractor here, and those of the test half
    follow after those of the training half.

    Args:
        folder: holds `list_train.txt` and its companions, itself or up to two levels deeper.
        source: what the user named, for messages.

    Raises:
        DataError: a list, a folder or an image is missing, or a line cannot be read; names it.
    """
    top = find_folder(folder, "list_train.txt", source)
    halves = _halves(top, source)
    missing = [name for name in _LISTS if not (top / name).is_file()]
    if missing:
        raise DataError(
            f"{source} has list_train.txt but not {', '.join(missing)}; download the dataset again"
        )
    entries = [entry for name in _LISTS for entry in _read(top / name)]
    first = {"train": 1, "test": 2 + max((e.person for e in entries if e.half == "train"), default=-1)}
    placed = [
        Placement(
            top / halves[entry.half] / entry.file,
            entry.folder,
            f"{entry.person + first[entry.half]:04d}_c{entry.camera:02d}_{entry.file.name}",
            f"{halves[entry.half]}/{entry.file}",
        )
        for entry in entries
    ]
    absent = [one.origin for one in placed if not one.path.is_file()]
    if absent:
        shown = ", ".join(absent[:3])
        raise DataError(f"{source} lacks {len(absent)} listed images: {shown}...; download the dataset again")
    return Listing(placed)


def _halves(top: Path, source: Path) -> dict[str, str]:
    for names in _VERSIONS:
        if all((top / name).is_dir() for name in names.values()):
            return names
    wanted = " nor ".join(" and ".join(names.values()) for names in _VERSIONS)
    raise DataError(f"{source} has list_train.txt but neither {wanted}; download the dataset again")


def _read(path: Path) -> Iterator[_Entry]:
    half, folder = _LISTS[path.name]
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        file = PurePosixPath(match["file"]) if match else PurePosixPath()
        name = _NAME.fullmatch(file.name)
        # Lists are foreign: a name that climbs out of the folder would copy a file of the user's.
        if match is None or name is None or file.is_absolute() or ".." in file.parts:
            raise DataError(f"{path.name} line {number} is no image and identity: {line[:80]!r}")
        yield _Entry(half, folder, file, int(match["person"]), int(name["camera"]))
