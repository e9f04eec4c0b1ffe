"""The guard against test images or identities that a network has learnt from."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from reid.data.parallel import Progress, map_in_order
from reid.data.sample import DISTRACTOR, JUNK, Sample
from reid.files import sha256_of

__all__ = ["Leaks", "find_leaks", "same_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """What training and test images have in common; anything makes figures on the test images worthless.

    Attributes:
        identities: persons on both sides, ascending.
        images: pairs of (training name, test name), relative to the root, of files with the same bytes.
    """

    identities: tuple[int, ...] = ()
    images: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.identities or self.images)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"identities": list(self.identities), "images": [list(pair) for pair in self.images]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` made; raises KeyError, TypeError or ValueError on anything else."""
        pairs = tuple((str(train), str(test)) for train, test in values["images"])
        return cls(identities=tuple(int(one) for one in values["identities"]), images=pairs)


def find_leaks(
    train: Sequence[Sample],
    test: Sequence[Sample],
    root: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Leaks:
    """Find identities and files that stand among both training and test images.

    Args:
        train: training images.
        test: queries, gallery and multi-query together.
        root: folder that the names are relative to.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few files.
    """
    both = same_files(
        [one.path for one in train], [one.path for one in test], workers=workers, progress=progress
    )
    pairs = [(one.relative_to(root).as_posix(), other.relative_to(root).as_posix()) for one, other in both]
    shared = {one.person_id for one in train} & {one.person_id for one in test} - {JUNK, DISTRACTOR}
    return Leaks(identities=tuple(sorted(shared)), images=tuple(pairs))


def same_files(
    some: Iterable[Path],
    others: Iterable[Path],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[tuple[Path, Path]]:
    """Pairs of files with the same bytes, in the order of `others`.

    Only files whose size occurs on both sides are read.

    Args:
        some: files.
        others: files.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few files.
    """
    first, second = list(some), list(others)
    sizes = {path: path.stat().st_size for path in (*first, *second)}
    both = {sizes[path] for path in first} & {sizes[path] for path in second}
    paths = [path for path, size in sizes.items() if size in both]
    hashes = map_in_order(sha256_of, paths, what="compare", workers=workers, progress=progress)
    content = dict(zip(paths, hashes, strict=True))
    seen: dict[str, list[Path]] = defaultdict(list)
    for path in first:
        if path in content:
            seen[content[path]].append(path)
    return [(known, path) for path in second if path in content for known in seen.get(content[path], ())]
