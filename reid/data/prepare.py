"""Bring a dataset as its authors distribute it into one checked folder that every command reads."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.config import reject_unknown
from reid.data.archive import extract
from reid.data.dataset import DATASETS, MANIFEST, load_dataset
from reid.data.folder import building
from reid.data.image import describe_bad, find_bad
from reid.data.market1501 import FOLDERS, OFFICIAL_IMAGES, is_image_name, read_market1501
from reid.data.parallel import Progress
from reid.data.synthetic import SyntheticOptions, generate
from reid.errors import ConfigError, DataError, ResourceError
from reid.files import read_json, remove_tree, sha256_of, write_json

__all__ = ["Prepared", "prepare", "prepare_synthetic"]

_SCHEMA = 1
_SEARCH_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What now lies in a dataset's folder.

    Attributes:
        name: key in `DATASETS`.
        root: the folder.
        images: images per split, "train", "query" and "gallery".
        skipped: bad images that were left out, relative names.
        official: whether the counts are those of the release; None for a dataset without one.
        already: whether the folder was there before, made from the same source.
    """

    name: str
    root: Path
    images: dict[str, int]
    skipped: tuple[str, ...]
    official: bool | None
    already: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "root": str(self.root),
            "images": dict(self.images),
            "skipped": list(self.skipped),
            "official": self.official,
            "already": self.already,
        }


def prepare(
    name: str,
    source: Path,
    target: Path,
    *,
    skip_bad: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Unpack or copy a downloaded dataset into `target`, open every image, and write `dataset.json`.

    Args:
        name: key in `DATASETS`.
        source: the archive, or the folder that it was unpacked to; `bounding_box_train` may lie up to three
            levels deep.
        target: absent or empty; or prepared from the same source before, then nothing is done.
        skip_bad: leave images that cannot be decoded out, instead of refusing the dataset.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few files.

    Raises:
        ConfigError: unknown name, or `target` holds something else.
        DataError: the source is no such dataset or has bad images; lists up to ten.
        ResourceError: the disk is full or read-only.
    """
    reject_unknown([name], DATASETS, "dataset")
    if name == "synthetic":
        raise ConfigError("the synthetic dataset is generated and has no source; leave --from out")
    if not source.exists():
        raise DataError(
            f"{source} does not exist; name the downloaded archive or the folder it was unpacked to"
        )
    origin = _origin(source)

    def fill(work: Path) -> None:
        if source.is_dir():
            _take_images(_find_layout(source, source), work, shutil.copyfile, progress)
            return
        unpacked = work / ".unpacked"
        extract(source, unpacked, progress=progress)
        _take_images(_find_layout(unpacked, source), work, os.replace, progress)
        remove_tree(unpacked)

    return _prepare(name, origin, target, fill, skip_bad=skip_bad, workers=workers, progress=progress)


def prepare_synthetic(
    options: SyntheticOptions,
    target: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Generate the synthetic dataset into `target` and check it as any other.

    Args:
        options: sizes and seed; the same options give the same bytes.
        target: absent or empty; or generated with the same options before, then nothing is done.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few images.

    Raises:
        ConfigError: `target` holds something else.
        ResourceError: the disk is full or read-only.
    """

    def fill(work: Path) -> None:
        generate(options, work, workers=workers, progress=progress)

    return _prepare(
        "synthetic", options.to_dict(), target, fill, skip_bad=False, workers=workers, progress=progress
    )


def _prepare(
    name: str,
    origin: dict[str, Any],
    target: Path,
    fill: Callable[[Path], None],
    *,
    skip_bad: bool,
    workers: int | None,
    progress: Progress | None,
) -> Prepared:
    target = target.resolve()
    if (target / MANIFEST).exists():
        return _already_prepared(name, origin, target)
    try:
        with building(target) as work:
            fill(work)
            skipped = _check_images(work, skip_bad, workers, progress)
            splits = read_market1501(work)
            images = {split: len(getattr(splits, split)) for split in FOLDERS}
            facts = {"images": images, "skipped": sorted(skipped)}
            write_json(work / MANIFEST, {"schema": _SCHEMA, "name": name, "source": origin, **facts})
    except ResourceError:
        # Another process may have put the same dataset there meanwhile; the first one to finish wins.
        if not (target / MANIFEST).exists():
            raise
        return _already_prepared(name, origin, target)
    return _prepared(name, target, images, skipped, already=False)


def _prepared(
    name: str, root: Path, images: dict[str, int], skipped: list[str], *, already: bool
) -> Prepared:
    official = images == OFFICIAL_IMAGES if name == "market1501" else None
    return Prepared(
        name=name,
        root=root,
        images=images,
        skipped=tuple(sorted(skipped)),
        official=official,
        already=already,
    )


def _already_prepared(name: str, origin: dict[str, Any], target: Path) -> Prepared:
    try:
        manifest = read_json(target / MANIFEST)
        same = manifest["name"] == name and manifest["source"] == origin
        images, skipped = manifest["images"], manifest["skipped"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{target / MANIFEST} is damaged; delete {target} and prepare again") from error
    if not same:
        raise ConfigError(
            f"{target} is already prepared, from another source or with other options ({manifest['name']}); "
            "name another folder or delete it"
        )
    dataset = load_dataset(name, target)
    if {split: len(getattr(dataset, split)) for split in FOLDERS} != images:
        raise DataError(
            f"{target} has lost or gained images since it was prepared; delete it and prepare again"
        )
    return _prepared(name, target, images, skipped, already=True)


def _origin(source: Path) -> dict[str, Any]:
    """What the dataset is made from, so that preparing it again from the same is recognised."""
    if source.is_file():
        return {"archive": source.name, "sha256": sha256_of(source)}
    layout = _find_layout(source, source)
    digest = hashlib.sha256()
    for folder in FOLDERS.values():
        for path in _image_files(layout / folder):
            digest.update(f"{folder}/{path.name}\0{path.stat().st_size}\n".encode())
    return {"folder": source.resolve().name, "sha256": digest.hexdigest()}


def _find_layout(folder: Path, source: Path) -> Path:
    """The folder that holds the three split folders, `folder` itself or up to two levels below it."""
    train = FOLDERS["train"]
    for depth in range(_SEARCH_DEPTH):
        found = sorted(path.parent for path in folder.glob("*/" * depth + train) if path.is_dir())
        if len(found) > 1:
            raise DataError(f"{source} holds {train} in {len(found)} places; name the folder of one of them")
        if found:
            missing = [name for name in FOLDERS.values() if not (found[0] / name).is_dir()]
            if missing:
                raise DataError(
                    f"{source} has {train} but not {', '.join(missing)}; download the dataset again"
                )
            return found[0]
    raise DataError(f"{source} holds no {train} within {_SEARCH_DEPTH} levels; is it the right download?")


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_image_name(path.name) and path.is_file())


def _take_images(
    layout: Path, work: Path, take: Callable[[Path, Path], object], progress: Progress | None
) -> None:
    files = [(path, folder) for folder in FOLDERS.values() for path in _image_files(layout / folder)]
    for folder in FOLDERS.values():
        (work / folder).mkdir()
    for done, (path, folder) in enumerate(files, start=1):
        take(path, work / folder / path.name)
        if progress is not None:
            progress("copy", done, len(files))


def _check_images(work: Path, skip_bad: bool, workers: int | None, progress: Progress | None) -> list[str]:
    """Decode every image below `work`; remove the bad ones if asked to, and return their relative names."""
    files = [path for folder in FOLDERS.values() for path in _image_files(work / folder)]
    bad = find_bad(files, workers=workers, progress=progress)
    if bad and not skip_bad:
        raise DataError(f"{describe_bad(bad, work)}; download again, or leave them out with --skip-bad")
    for problem in bad:
        problem.path.unlink()
    return [problem.path.relative_to(work).as_posix() for problem in bad]
