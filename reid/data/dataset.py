"""A ReID dataset in memory: which images there are, of whom, and seen by which camera."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reid.config import reject_unknown
from reid.data.market1501 import read_market1501
from reid.data.sample import Sample, Splits
from reid.errors import ConfigError, DataError
from reid.files import read_json

__all__ = ["DATASETS", "MANIFEST", "ReIDDataset", "dataset_name", "load_dataset"]

MANIFEST = "dataset.json"
"""File in the dataset's folder that says which dataset it is; `prepare` writes it last."""

DATASETS: dict[str, Callable[[Path], Splits]] = {
    "cuhk03": read_market1501,
    "dukemtmc": read_market1501,
    "folder": read_market1501,
    "market1501": read_market1501,
    "merged": read_market1501,
    "msmt17": read_market1501,
    "synthetic": read_market1501,
}
"""Reader of each dataset by name; it lists the images below a folder. `prepare` writes one layout for all."""


# Not slotted: the fingerprint stats every file, so it is computed once and kept.
@dataclass(frozen=True, kw_only=True)
class ReIDDataset:
    """The images of one dataset.

    Attributes:
        name: key in `DATASETS`.
        root: absolute folder below which all images lie.
        train: images of the training identities.
        query: images searched for.
        gallery: images searched in; junk has identity -1, a distractor 0.
        multi_query: more images of the query identities, to be pooled per identity and camera where several
            images make one query; empty for a dataset that has none.
    """

    name: str
    root: Path
    train: tuple[Sample, ...]
    query: tuple[Sample, ...]
    gallery: tuple[Sample, ...]
    multi_query: tuple[Sample, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 over the name relative to `root` and the size in bytes of every image.

        Raises:
            DataError: an image is gone.
        """
        digest = hashlib.sha256()
        parts = [self.train, self.query, self.gallery]
        # Left out where there is none, so that such a dataset keeps the fingerprint of older records.
        if self.multi_query:
            parts.append(self.multi_query)
        for samples in parts:
            for sample in samples:
                name = sample.path.relative_to(self.root).as_posix()
                digest.update(f"{name}\0{_size_bytes(sample.path)}\n".encode())
            digest.update(b"\n")
        return digest.hexdigest()


def load_dataset(name: str, root: str | Path) -> ReIDDataset:
    """List the images of a prepared dataset; no image is opened.

    Args:
        name: key in `DATASETS`; `dataset_name` reads it from a folder.
        root: folder that `prepare` wrote.

    Raises:
        ConfigError: unknown name, lists the known; or the folder was prepared as another dataset.
        DataError: a split is missing or empty; names it.
    """
    reject_unknown([name], DATASETS, "dataset")
    folder = Path(root).resolve()
    # A folder unpacked by hand has no manifest and is taken at its word.
    if (folder / MANIFEST).exists() and (prepared := dataset_name(folder)) != name:
        raise ConfigError(
            f"{folder} holds the dataset {prepared}, not {name}; name the right folder or dataset"
        )
    return ReIDDataset(name=name, root=folder, **DATASETS[name](folder)._asdict())


def dataset_name(root: str | Path) -> str:
    """Name of the dataset that was prepared in the folder `root`.

    Raises:
        DataError: the folder holds no readable `dataset.json`, or it names an unknown dataset.
    """
    manifest = Path(root) / MANIFEST
    try:
        name = read_json(manifest)["name"]
    except NotADirectoryError as error:
        raise DataError(
            f"{root} is a file; a prepared dataset is a folder, which `reid-pareto data prepare` makes"
        ) from error
    except OSError as error:
        raise DataError(
            f"{root} is no prepared dataset ({MANIFEST}: {error.strerror}); "
            "make one with `reid-pareto data prepare`"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{manifest} is damaged; delete the folder and prepare the data again") from error
    if name not in DATASETS:
        raise DataError(
            f"{manifest} names the unknown dataset {name!r}; known: {', '.join(sorted(DATASETS))}"
        )
    return str(name)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; prepare the data again") from error
