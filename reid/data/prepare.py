"""Bring a dataset as its authors distribute it into one checked folder that every command reads."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reid.config import reject_unknown
from reid.data.archive import extract
from reid.data.dataset import DATASETS, dataset_name, load_dataset
from reid.data.layout import BOXES, Listing, Placement, cuhk03_layout, market_layout
from reid.data.merge import demand_apart, merge_layout
from reid.data.msmt17 import msmt17_layout
from reid.data.parallel import Progress
from reid.data.prepared import Filled, Prepared, build_prepared, take_images
from reid.data.synthetic import SyntheticOptions, generate
from reid.data.tree import TreeOptions, tree_layout
from reid.errors import ConfigError, DataError
from reid.files import remove_tree, sha256_of

__all__ = ["Prepared", "prepare", "prepare_merged", "prepare_synthetic"]

_Layout = Callable[[Path, Path], Listing]
"""Called with a folder and what the user named; lists what to take from it."""

_LAYOUTS: dict[str, _Layout] = {
    "dukemtmc": market_layout,
    "market1501": market_layout,
    "msmt17": msmt17_layout,
}
"""Layout of each dataset that is read without further options."""


def prepare(
    name: str,
    source: Path,
    target: Path,
    *,
    boxes: str | None = None,
    tree: TreeOptions | None = None,
    sha256: str | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Unpack or copy a downloaded dataset into `target`, open every image, and write `dataset.json`.

    Where images get other names than in the source, `sources.json` says which came from where.

    Args:
        name: key in `DATASETS`, neither "synthetic" nor "merged".
        source: the archive, or the folder that it was unpacked to; the dataset may lie up to three levels deep.
        target: absent or empty; or prepared from the same source before, then nothing is done.
        boxes: "cuhk03" only: key of `BOXES`; None takes the detected ones.
        tree: "folder" only, and needed there: how to read the names.
        sha256: hexadecimal; an archive with another checksum is refused before it is unpacked.
        skip_bad: leave images that cannot be decoded out, instead of refusing the dataset.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few files.

    Raises:
        ConfigError: unknown name or wrong option, or `target` holds something else.
        DataError: the source is no such dataset or has bad images; lists up to ten.
        ResourceError: the disk is full or read-only.
    """
    layout, options = _layout_of(name, boxes, tree)
    if not source.exists():
        raise DataError(
            f"{source} does not exist; name the downloaded archive or the folder it was unpacked to"
        )
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{target} lies in {source}, which is only read; name a folder elsewhere")
    _demand_checksum(sha256, source)
    if source.is_dir():
        listing = layout(source, source)
        origin = {"folder": source.resolve().name, "sha256": _digest(listing.items), **options}
        fill = partial(take_images, listing, take=shutil.copyfile, source=source, progress=progress)
    else:
        origin = {"archive": source.name, "sha256": sha256_of(source), **options}
        _demand_same(sha256, origin["sha256"], source)
        fill = partial(_unpack, source, layout=layout, progress=progress)
    return build_prepared(name, origin, target, fill, skip_bad=skip_bad, workers=workers, progress=progress)


def prepare_merged(
    sources: Sequence[Path],
    evaluate_on: Path | None,
    target: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Copy several prepared datasets into one: the training images of all, the test images of one.

    Args:
        sources: two or more folders that `prepare` wrote.
        evaluate_on: the one of them whose query and gallery are kept; None takes the first.
        target: absent or empty; or merged from the same before, then nothing is done.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few files.

    Raises:
        ConfigError: fewer than two sources, one twice, `evaluate_on` is none of them, or `target` holds
            something else.
        DataError: a source is no prepared dataset, or has bad images; or two share training images.
        ResourceError: the disk is full or read-only.
    """
    if not sources:
        raise ConfigError(
            "merged needs --from: two or more prepared datasets, each with an option of its own"
        )
    datasets = [load_dataset(dataset_name(root), root) for root in sources]
    chosen = (evaluate_on or sources[0]).resolve()
    tested = next((one for one in datasets if one.root == chosen), None)
    if tested is None:
        known = ", ".join(str(root) for root in sources)
        raise ConfigError(f"{evaluate_on} is none of the datasets that are merged: {known}")
    listing = merge_layout(datasets, tested)
    origin = {
        "merged": [{"name": one.name, "fingerprint": one.fingerprint} for one in datasets],
        "evaluate_on": datasets.index(tested),
    }

    def fill(work: Path) -> Filled:
        demand_apart(datasets, workers=workers, progress=progress)
        return take_images(listing, work, take=shutil.copyfile, source=target, progress=progress)

    return build_prepared("merged", origin, target, fill, skip_bad=False, workers=workers, progress=progress)


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

    def fill(work: Path) -> Filled:
        generate(options, work, workers=workers, progress=progress)
        return Filled({})

    return build_prepared(
        "synthetic", options.to_dict(), target, fill, skip_bad=False, workers=workers, progress=progress
    )


def _layout_of(name: str, boxes: str | None, tree: TreeOptions | None) -> tuple[_Layout, dict[str, Any]]:
    """How to read a source, and the options that what it gives depends on."""
    reject_unknown([name], DATASETS, "dataset")
    if name == "synthetic":
        raise ConfigError("the synthetic dataset is generated and has no source; leave --from out")
    if name == "merged":
        raise ConfigError("merged is made of prepared datasets; call prepare_merged")
    if boxes is not None and name != "cuhk03":
        raise ConfigError(f"--boxes goes with cuhk03 only, not with {name}; leave it out")
    if tree is not None and name != "folder":
        raise ConfigError(f"--pattern goes with folder only, not with {name}; leave it out")
    if name == "cuhk03":
        boxes = boxes or "detected"
        reject_unknown([boxes], BOXES, "kind of boxes")
        return partial(cuhk03_layout, boxes=boxes), {"boxes": boxes}
    if name == "folder":
        if tree is None:
            raise ConfigError(
                "folder needs --pattern: a regular expression with the groups person and camera"
            )
        return partial(tree_layout, options=tree), tree.to_dict()
    return _LAYOUTS[name], {}


def _demand_checksum(sha256: str | None, source: Path) -> None:
    if sha256 is None:
        return
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"--sha256 must be 64 hexadecimal digits, got {sha256!r}")
    if source.is_dir():
        raise ConfigError(f"--sha256 goes with an archive, and {source} is a folder; leave it out")


def _demand_same(wanted: str | None, found: str, source: Path) -> None:
    if wanted is not None and wanted.lower() != found:
        raise DataError(f"{source} has the SHA-256 {found}, not {wanted.lower()}; download it again")


def _digest(items: list[Placement]) -> str:
    """What a folder holds, so that preparing it again from the same is recognised."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item.folder}/{item.name}\0{item.path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _unpack(source: Path, work: Path, *, layout: _Layout, progress: Progress | None) -> Filled:
    unpacked = work / ".unpacked"
    extract(source, unpacked, progress=progress)
    filled = take_images(layout(unpacked, source), work, take=os.replace, source=source, progress=progress)
    remove_tree(unpacked)
    return filled
