"""Any tree of person images: a regular expression says what their names mean."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from reid.data.layout import Listing, Placement
from reid.data.market1501 import FOLDERS
from reid.data.sample import JUNK
from reid.data.split import draw
from reid.errors import ConfigError, DataError

__all__ = ["TreeOptions", "tree_layout"]

_SUFFIXES = (".jpg", ".jpeg", ".png")
_SPLITS = {
    "train": "train", "train_all": "train", "val": "train", "bounding_box_train": "train",
    "query": "query", "probe": "query",
    "gallery": "gallery", "bounding_box_test": "gallery",
    "test": "test",
}  # fmt: skip
_LEAST_IDENTITIES = 4
_LONGEST_NUMBER = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOptions:
    """How the names in a tree are to be read.

    Attributes:
        pattern: regular expression with the groups `person` and `camera`, and `split` if the names say it;
            searched in the path relative to the tree, with `/` between folders.
        test_share: of the identities, in (0, 1), kept for query and gallery where names do not say the split.
        seed: >= 0; decides which identities and which queries.
    """

    pattern: str
    test_share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            raise ConfigError(f"pattern {self.pattern!r} is no regular expression: {error}") from error
        if missing := [name for name in ("person", "camera") if name not in groups]:
            raise ConfigError(
                f"pattern {self.pattern!r} lacks the group {' and '.join(missing)}; write (?P<{missing[0]}>...)"
            )
        if not 0 < self.test_share < 1:
            raise ConfigError(f"test_share must be in (0, 1), got {self.test_share}")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0, got {self.seed}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class _Found(NamedTuple):
    """One image whose name matched: where it lies, and what its name says."""

    path: Path
    origin: str
    person: str
    camera: str
    split: str | None


def tree_layout(folder: Path, source: Path, options: TreeOptions) -> Listing:
    """Images below `folder` whose names match, numbered and divided into the three splits.

    Persons and cameras keep their numbers where all are numbers above 0, and are else counted from 1 in the
    order of their names; the person `-1` is junk. Where names say no split, `test_share` of the persons are
    test identities. Of these, and of persons whose split is `test`, each camera with two or more images gives
    one query; a person seen once by each of several cameras gives one query in all; the rest is gallery.
    `val` is taken as `train`: validation identities are held out later, by seed.

    Args:
        folder: the tree.
        source: what the user named, for messages.
        options: how to read names.

    Raises:
        DataError: no name matches, a split is unknown or empty, there are fewer than four persons to divide,
            or nobody in the test part is seen by two cameras.
    """
    images = sorted(path.relative_to(folder).as_posix() for path in _image_files(folder))
    found = _matches(folder, images, source, options)
    persons = _numbers({one.person for one in found} - {str(JUNK)}) | {str(JUNK): JUNK}
    cameras = _numbers({one.camera for one in found})
    splits = _splits(found, source, options)
    items = [
        Placement(
            one.path,
            FOLDERS[split],
            f"{_label(persons[one.person])}_c{cameras[one.camera]}_{number:06d}{one.path.suffix.lower()}",
            one.origin,
        )
        for number, (one, split) in enumerate(zip(found, splits, strict=True), start=1)
    ]
    return Listing(items, unmatched=len(images) - len(items))


def _matches(folder: Path, images: list[str], source: Path, options: TreeOptions) -> list[_Found]:
    expression = re.compile(options.pattern)
    found = [
        _Found(
            folder / origin, origin, match["person"], match["camera"],
            match["split"] if "split" in expression.groupindex else None,
        )
        for origin in images
        if (match := expression.search(origin)) and match["person"] and match["camera"]
    ]  # fmt: skip
    if not found:
        example = f", for instance {images[0]}" if images else ""
        raise DataError(
            f"pattern {options.pattern!r} matches none of the {len(images)} images below {source}{example}"
        )
    return found


def _image_files(folder: Path) -> Iterable[Path]:
    """Images below a folder. Links to other folders are entered, each target once; those within it are there anyway."""
    root, targets = folder.resolve(), set[Path]()

    def leads_on(entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return True
        target = Path(entry).resolve()
        within = target.is_relative_to(root) and "/." not in f"/{target.relative_to(root).as_posix()}/"
        if target in targets or within or root.is_relative_to(target):
            return False
        targets.add(target)
        return True

    def walk(folder: Path) -> Iterable[Path]:
        for entry in _listed(folder):
            # Hidden ones are thumbnails and leftovers of other programs.
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                if leads_on(entry):
                    yield from walk(Path(entry))
            elif entry.name.lower().endswith(_SUFFIXES):
                yield Path(entry)

    return walk(folder)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    if folder.name == "lost+found":  # of a disk, for its owner alone
        return []
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be listed ({error.strerror}); make it readable or take it away"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a closed folder
        return False


def _numbers(texts: set[str]) -> dict[str, int]:
    small = all(text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER for text in texts)
    if small and len({int(text) for text in texts} - {0}) == len(texts):
        return {text: int(text) for text in texts}
    return {text: number for number, text in enumerate(sorted(texts), start=1)}


def _label(person: int) -> str:
    return str(JUNK) if person == JUNK else f"{person:04d}"


def _splits(found: list[_Found], source: Path, options: TreeOptions) -> list[str]:
    """Split of every image: "train", "query" or "gallery"."""
    if "split" in re.compile(options.pattern).groupindex:
        parts = [_SPLITS.get((one.split or "").lower()) for one in found]
        if None in parts:
            wrong = found[parts.index(None)]
            raise DataError(
                f"{source}: {wrong.origin} gives the split {wrong.split!r}; known: {', '.join(sorted(_SPLITS))}"
            )
    else:
        test = _test_persons(found, source, options)
        parts = ["test" if one.person in test else "train" for one in found]
    in_test = [one for one, part in zip(found, parts, strict=True) if part == "test"]
    queries = _queries([one for one in in_test if one.person != str(JUNK)], options.seed)
    splits = [
        part if part and part != "test" else "query" if one.origin in queries else "gallery"
        for one, part in zip(found, parts, strict=True)
    ]
    for split in FOLDERS:
        if split not in splits:
            hint = "; queries need persons seen by two cameras" if split == "query" else ""
            raise DataError(f"{source} gives no {split} images{hint}")
    return splits


def _test_persons(found: list[_Found], source: Path, options: TreeOptions) -> set[str]:
    persons = {one.person for one in found} - {str(JUNK)}
    if len(persons) < _LEAST_IDENTITIES:
        raise DataError(
            f"{source} has {len(persons)} persons; to divide them takes {_LEAST_IDENTITIES} or more"
        )
    ordered = sorted(persons, key=lambda person: draw(options.seed, person))
    # Two on either side: one person alone is never confused with another.
    count = min(max(2, round(options.test_share * len(ordered))), len(ordered) - 2)
    return {*ordered[:count], str(JUNK)}


def _queries(found: list[_Found], seed: int) -> set[str]:
    """Origins of the query images; each keeps an image of its person from another camera in the gallery."""
    seen: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        seen[one.person][one.camera].append(one.origin)
    queries: set[str] = set()
    for cameras in seen.values():
        if len(cameras) < 2:
            continue
        drawn = [
            min(group, key=lambda origin: draw(seed, origin)) for group in cameras.values() if len(group) > 1
        ]
        if not drawn:
            once = [group[0] for group in cameras.values()]
            drawn = [min(once, key=lambda origin: draw(seed, origin))]
        queries.update(drawn)
    return queries
