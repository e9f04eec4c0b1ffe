"""The folder layout and the file names of Market-1501, in which the synthetic dataset is written too.

Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015; the names are explained in
the readme that comes with the images: `0002_c1s1_000451_03.jpg` is identity 2 in camera 1.
"""

import re
from pathlib import Path

from reid.data.sample import Sample, Splits
from reid.errors import DataError

__all__ = ["FOLDERS", "MULTI_QUERY", "is_image_name", "read_market1501"]

FOLDERS: dict[str, str] = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
}
"""Folder of each split."""

MULTI_QUERY = "gt_bbox"
"""Folder of the hand-drawn boxes, which may be absent; those of query identities make the multi-query."""

# Some official names end in `.jpg.jpg`, so the middle of a name may hold anything.
_NAME = re.compile(r"(?P<person>-1|\d+)_c(?P<camera>\d+).*\.(?:jpe?g|png)", re.IGNORECASE | re.ASCII)


def is_image_name(name: str) -> bool:
    """Whether a file name says which person and camera the image shows; `Thumbs.db` does not."""
    return _NAME.fullmatch(name) is not None


def read_market1501(root: Path) -> Splits:
    """List the images below `root`, sorted by name.

    Junk and distractors are kept in the gallery and left out of the other two splits, where they mean
    nothing. Files with other names (`Thumbs.db`, `readme.txt`) are passed over. Of `gt_bbox`, which holds the
    training identities too, only those of the queries are taken.

    Args:
        root: folder that holds `bounding_box_train`, `query`, `bounding_box_test` and perhaps `gt_bbox`.

    Raises:
        DataError: a folder is missing or holds no image; names it.
    """
    missing = [folder for folder in FOLDERS.values() if not (root / folder).is_dir()]
    if missing:
        raise DataError(
            f"{root} is no prepared dataset: {', '.join(missing)} missing; "
            "make one with `reid-pareto data prepare`"
        )
    train, query, gallery = (_read_folder(root / FOLDERS[split]) for split in ("train", "query", "gallery"))
    query = _people(query)
    more = _read_folder(root / MULTI_QUERY) if (root / MULTI_QUERY).is_dir() else ()
    wanted = {sample.person_id for sample in query}
    multi_query = tuple(sample for sample in more if sample.person_id in wanted)
    return Splits(train=_people(train), query=query, gallery=gallery, multi_query=multi_query)


def _read_folder(folder: Path) -> tuple[Sample, ...]:
    matches = [match for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    if not matches:
        raise DataError(f"{folder} holds no image named like 0002_c1s1_000451_03.jpg; prepare the data again")
    return tuple(
        Sample(folder / match.string, int(match["person"]), int(match["camera"]))
        for match in sorted(matches, key=lambda match: match.string)
    )


def _people(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    return tuple(sample for sample in samples if sample.person_id > 0)
