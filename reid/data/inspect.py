"""What a prepared dataset holds, counted from its files."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reid.data.dataset import dataset_name, load_dataset
from reid.data.image import find_bad
from reid.data.leaks import find_leaks
from reid.data.market1501 import FOLDERS, MULTI_QUERY, is_image_name
from reid.data.parallel import Progress
from reid.data.sample import DISTRACTOR, JUNK, Sample

__all__ = ["Inspection", "SplitFacts", "inspect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFacts:
    """Counts of one split.

    Attributes:
        images: all of them, junk and distractors included.
        identities: persons, without junk and distractors.
        cameras: cameras that took at least one image.
        junk: images with identity -1.
        distractors: images with identity 0.
    """

    images: int
    identities: int
    cameras: int
    junk: int
    distractors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a dataset's folder holds.

    Attributes:
        name: key in `DATASETS`.
        root: the folder.
        fingerprint: SHA-256 over names and sizes, as records keep it.
        train: counts of the training split.
        query: counts of the queries.
        gallery: counts of the gallery.
        multi_query: counts of the multi-query, all 0 where the dataset has none.
        shared_identities: persons in both training and test split; anything but 0 makes the test worthless.
        shared_images: pairs of (training name, test name) of files with the same bytes, relative names; worth
            as little.
        unmatched_queries: queries without an image of the same person from another camera.
        ignored: files in the split folders whose names are no image names.
        bad: images that cannot be decoded, as (relative name, reason).
    """

    name: str
    root: Path
    fingerprint: str
    train: SplitFacts
    query: SplitFacts
    gallery: SplitFacts
    multi_query: SplitFacts
    shared_identities: int
    shared_images: tuple[tuple[str, str], ...]
    unmatched_queries: int
    ignored: int
    bad: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        pairs = {"bad": [list(pair) for pair in self.bad]}
        pairs["shared_images"] = [list(pair) for pair in self.shared_images]
        return asdict(self) | {"root": str(self.root)} | pairs


def inspect(root: Path, *, workers: int | None = None, progress: Progress | None = None) -> Inspection:
    """Count a prepared dataset and decode every image of it once.

    Args:
        root: folder that `prepare` wrote.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few images.

    Raises:
        DataError: `root` is no prepared dataset.
    """
    dataset = load_dataset(dataset_name(root), root)
    test = (*dataset.query, *dataset.gallery, *dataset.multi_query)
    paths = [sample.path for sample in (*dataset.train, *test)]
    bad = find_bad(paths, workers=workers, progress=progress)
    leaks = find_leaks(dataset.train, test, dataset.root, workers=workers, progress=progress)
    return Inspection(
        name=dataset.name,
        root=dataset.root,
        fingerprint=dataset.fingerprint,
        train=_facts(dataset.train),
        query=_facts(dataset.query),
        gallery=_facts(dataset.gallery),
        multi_query=_facts(dataset.multi_query),
        shared_identities=len(leaks.identities),
        shared_images=leaks.images,
        unmatched_queries=_unmatched(dataset.query, dataset.gallery),
        ignored=_ignored(dataset.root),
        bad=tuple((one.path.relative_to(dataset.root).as_posix(), one.reason) for one in bad),
    )


def _facts(samples: Sequence[Sample]) -> SplitFacts:
    return SplitFacts(
        images=len(samples),
        identities=len(_people(samples)),
        cameras=len({sample.camera_id for sample in samples}),
        junk=sum(sample.person_id == JUNK for sample in samples),
        distractors=sum(sample.person_id == DISTRACTOR for sample in samples),
    )


def _people(samples: Sequence[Sample]) -> set[int]:
    return {sample.person_id for sample in samples} - {JUNK, DISTRACTOR}


def _unmatched(query: Sequence[Sample], gallery: Sequence[Sample]) -> int:
    seen: dict[int, set[int]] = {}
    for sample in gallery:
        seen.setdefault(sample.person_id, set()).add(sample.camera_id)
    return sum(not seen.get(sample.person_id, set()) - {sample.camera_id} for sample in query)


def _ignored(root: Path) -> int:
    folders = [root / name for name in (*FOLDERS.values(), MULTI_QUERY) if (root / name).is_dir()]
    return sum(not is_image_name(path.name) for folder in folders for path in folder.iterdir())
