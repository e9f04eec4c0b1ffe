"""A prepared dataset's folder: filled, checked and described all at once, or recognised when it is there."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from reid.data.dataset import DATASETS, MANIFEST
from reid.data.folder import building
from reid.data.image import BadImage, describe_bad, find_bad
from reid.data.layout import Listing
from reid.data.leaks import Leaks, find_leaks
from reid.data.market1501 import FOLDERS, MULTI_QUERY, read_market1501
from reid.data.official import is_official
from reid.data.parallel import Progress
from reid.data.sample import Splits
from reid.errors import ConfigError, DataError, ResourceError
from reid.files import read_json, write_json

__all__ = ["Filled", "Prepared", "build_prepared", "take_images"]

_SCHEMA = 1
_SOURCES = "sources.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What now lies in a dataset's folder.

    Attributes:
        name: key in `DATASETS`.
        root: the folder.
        images: images per split, "train", "query", "gallery", and "multi_query" where there is one.
        skipped: bad images that were left out, by their names in the source, relative.
        unmatched: images of the source whose names said nothing, which were left there.
        leaks: what training and test images have in common.
        official: whether the counts are those of the release; None for a dataset without one.
        already: whether the folder was there before, made from the same source.
    """

    name: str
    root: Path
    images: dict[str, int]
    skipped: tuple[str, ...]
    unmatched: int
    leaks: Leaks
    official: bool | None
    already: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "root": str(self.root),
            "images": dict(self.images),
            "skipped": list(self.skipped),
            "unmatched": self.unmatched,
            "leaks": self.leaks.to_dict(),
            "official": self.official,
            "already": self.already,
        }


class Filled(NamedTuple):
    """What was put into a folder.

    Attributes:
        origins: name in the source of every image that has another name now, by that name.
        unmatched: images of the source that were left there.
    """

    origins: dict[str, str]
    unmatched: int = 0


def build_prepared(
    name: str,
    origin: dict[str, Any],
    target: Path,
    fill: Callable[[Path], Filled],
    *,
    skip_bad: bool,
    workers: int | None,
    progress: Progress | None,
) -> Prepared:
    """Fill `target` with a dataset in Market-1501's layout, check it and write `dataset.json`.

    Args:
        name: key in `DATASETS`.
        origin: what it is made from; a folder that was made from the same is left as it is.
        target: absent, empty, or prepared before.
        fill: puts the images into the folder that it is given.
        skip_bad: leave images that cannot be decoded out, instead of refusing the dataset.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few files.

    Raises:
        ConfigError: `target` holds something else.
        DataError: there are bad images, or a split is empty.
        ResourceError: the disk is full or read-only.
    """
    target = target.resolve()
    if (target / MANIFEST).exists():
        return _already_prepared(name, origin, target)
    try:
        with building(target) as work:
            origins, unmatched = fill(work)
            skipped = _check_images(work, origins, skip_bad, workers, progress)
            if origins:
                write_json(work / _SOURCES, origins)
            splits = read_market1501(work)
            leaks = _leaks_of(splits, work, workers, progress)
            facts: dict[str, Any] = {"images": _counts(splits), "skipped": skipped, "unmatched": unmatched}
            facts["leaks"] = leaks.to_dict()
            # Before the manifest vouches for them; tens of thousands of files made durable one by one take minutes.
            os.sync()
            write_json(work / MANIFEST, {"schema": _SCHEMA, "name": name, "source": origin, **facts})
    except ResourceError:
        # Another process may have put the same dataset there meanwhile; the first one to finish wins.
        if not (target / MANIFEST).exists():
            raise
        return _already_prepared(name, origin, target)
    return Prepared(
        name=name,
        root=target,
        images=_counts(splits),
        skipped=tuple(skipped),
        unmatched=unmatched,
        leaks=leaks,
        official=is_official(name, splits),
        already=False,
    )


def take_images(
    listing: Listing,
    work: Path,
    *,
    take: Callable[[Path, Path], object],
    source: Path,
    progress: Progress | None,
) -> Filled:
    """Put every image into its folder below `work`.

    Args:
        listing: what to take.
        work: holds none of the folders yet.
        take: copies or moves from the first path to the second.
        source: what the user named, for messages.
        progress: called after every file.

    Raises:
        DataError: two images would get the same name.
    """
    items = listing.items
    names = {f"{item.folder}/{item.name}": item.origin for item in items}
    if len(names) < len(items):
        raise DataError(f"{source} names {len(items) - len(names)} images twice; download the dataset again")
    for folder in {*FOLDERS.values(), *(item.folder for item in items)}:
        (work / folder).mkdir()
    for done, item in enumerate(items, start=1):
        take(item.path, work / item.folder / item.name)
        if progress is not None:
            progress("copy", done, len(items))
    renamed = {name: origin for name, origin in names.items() if origin}
    return Filled(renamed, listing.unmatched)


def _already_prepared(name: str, origin: dict[str, Any], target: Path) -> Prepared:
    try:
        manifest = read_json(target / MANIFEST)
        same = manifest["name"] == name and manifest["source"] == origin
        images, skipped = manifest["images"], tuple(manifest["skipped"])
        unmatched = int(manifest.get("unmatched", 0))
        leaks = Leaks.from_dict(manifest["leaks"]) if "leaks" in manifest else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{target / MANIFEST} is damaged; delete {target} and prepare again") from error
    if not same:
        raise ConfigError(
            f"{target} is already prepared, from another source or with other options ({manifest['name']}); "
            "name another folder or delete it"
        )
    splits = DATASETS[name](target)
    if _counts(splits) != images:
        raise DataError(
            f"{target} has lost or gained images since it was prepared; delete it and prepare again"
        )
    return Prepared(
        name=name,
        root=target,
        images=_counts(splits),
        skipped=skipped,
        unmatched=unmatched,
        # Folders that an earlier version prepared were not searched for leaks.
        leaks=_leaks_of(splits, target, None, None) if leaks is None else leaks,
        official=is_official(name, splits),
        already=True,
    )


def _counts(splits: Splits) -> dict[str, int]:
    counts = {split: len(samples) for split, samples in splits._asdict().items()}
    return {split: count for split, count in counts.items() if count or split in FOLDERS}


def _leaks_of(splits: Splits, root: Path, workers: int | None, progress: Progress | None) -> Leaks:
    test = (*splits.query, *splits.gallery, *splits.multi_query)
    return find_leaks(splits.train, test, root.resolve(), workers=workers, progress=progress)


def _check_images(
    work: Path, origins: dict[str, str], skip_bad: bool, workers: int | None, progress: Progress | None
) -> list[str]:
    """Decode every image below `work`; remove the bad ones if asked to, and return their names in the source.

    They are removed from `origins` too.
    """
    folders = [work / name for name in (*FOLDERS.values(), MULTI_QUERY) if (work / name).is_dir()]
    bad = find_bad(
        [path for folder in folders for path in sorted(folder.iterdir())], workers=workers, progress=progress
    )
    named = [(problem, problem.path.relative_to(work).as_posix()) for problem in bad]
    shown = [BadImage(path=work / origins.get(name, name), reason=problem.reason) for problem, name in named]
    if bad and not skip_bad:
        raise DataError(f"{describe_bad(shown, work)}; download again, or leave them out with --skip-bad")
    for problem, name in named:
        problem.path.unlink()
        origins.pop(name, None)
    return sorted(one.path.relative_to(work).as_posix() for one in shown)
