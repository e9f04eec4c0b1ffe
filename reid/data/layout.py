"""Which files of a downloaded dataset go where: the layout of Market-1501 and those that resemble it.

Three layouts are read: the one that Market-1501 and DukeMTMC-reID are distributed in, CUHK03-NP with one such
folder per kind of box, and the `pytorch/` folder that the preparation of the layumi baseline makes of any of
them, with one folder per identity.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from reid.data.market1501 import FOLDERS, MULTI_QUERY, is_image_name
from reid.errors import ConfigError, DataError

__all__ = ["BOXES", "Listing", "Placement", "cuhk03_layout", "find_folder", "market_layout"]

BOXES: dict[str, tuple[str, ...]] = {"detected": ("detected",), "labelled": ("labeled", "labelled")}
"""Kinds of box of CUHK03-NP, and the names their folder has."""

_SEARCH_DEPTH = 3
_BY_IDENTITY = {"query": "query", "gallery": "gallery"}
_TRAIN_BY_IDENTITY = (("train_all",), ("train", "val"))
_MULTI_QUERY_BY_IDENTITY = "multi-query"


class Placement(NamedTuple):
    """One image to take from a source.

    Attributes:
        path: where it lies.
        folder: folder of the prepared dataset that it goes to, as in `FOLDERS`.
        name: its name there, as `is_image_name` knows it.
        origin: its name in the source, relative; empty where `name` is kept.
    """

    path: Path
    folder: str
    name: str
    origin: str = ""


class Listing(NamedTuple):
    """What to take from a source.

    Attributes:
        items: images that go into the prepared dataset.
        unmatched: images of the source whose names say nothing, and that stay where they are.
    """

    items: list[Placement]
    unmatched: int = 0


def market_layout(folder: Path, source: Path) -> Listing:
    """Images of a dataset in Market-1501's own layout, or in that of the layumi baseline.

    Args:
        folder: holds `bounding_box_train` or else `gallery`, itself or up to two levels deeper.
        source: what the user named, for messages.

    Raises:
        DataError: a part is missing, the layout stands in two places, or an image lies in the folder of
            another identity; names it.
    """
    official = _shallowest(folder, FOLDERS["train"])
    if not official and (by_identity := _shallowest(folder, _BY_IDENTITY["gallery"])):
        return Listing(list(_by_identity(_only(by_identity, _BY_IDENTITY["gallery"], source), source)))
    if not official:
        raise DataError(
            f"{source} holds no {FOLDERS['train']} within {_SEARCH_DEPTH} levels, nor the folders of the layumi "
            "baseline; is it the right download?"
        )
    return Listing(list(_official(_only(official, FOLDERS["train"], source), source)))


def cuhk03_layout(folder: Path, source: Path, boxes: str) -> Listing:
    """Images of CUHK03-NP with one kind of box.

    Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017, which
    introduced the split into 767 and 700 identities.

    Args:
        folder: holds a folder per kind of box, itself or one level deeper; or is such a folder.
        source: what the user named, for messages.
        boxes: key of `BOXES`.

    Raises:
        ConfigError: the source holds the other kind of box only.
        DataError: a part is missing; names it.
    """
    found = _shallowest(folder, FOLDERS["train"])
    if not found:
        raise DataError(
            f"{source} holds no {FOLDERS['train']} within {_SEARCH_DEPTH} levels; is it CUHK03-NP?"
        )
    kinds = {path: _kind(path) for path in found}
    chosen = [path for path, kind in kinds.items() if kind == boxes]
    # A folder that was renamed says nothing, and the user is taken at their word.
    if not chosen and list(kinds.values()) == [None]:
        chosen = found
    if not chosen:
        there = ", ".join(sorted({kind or "unknown" for kind in kinds.values()}))
        raise ConfigError(f"{source} has no {boxes} boxes, only {there}; choose with --boxes")
    return Listing(list(_official(_only(chosen, FOLDERS["train"], source), source)))


def find_folder(folder: Path, holding: str, source: Path) -> Path:
    """The folder that holds `holding`: `folder` itself or up to two levels below it.

    Raises:
        DataError: there is none, or more than one at the same depth.
    """
    found = _shallowest(folder, holding)
    if not found:
        raise DataError(
            f"{source} holds no {holding} within {_SEARCH_DEPTH} levels; is it the right download?"
        )
    return _only(found, holding, source)


def _shallowest(folder: Path, name: str) -> list[Path]:
    """Folders that hold `name`, all of the least depth at which there is one."""
    for depth in range(_SEARCH_DEPTH):
        if found := sorted(path.parent for path in folder.glob("*/" * depth + name)):
            return found
    return []


def _only(found: list[Path], name: str, source: Path) -> Path:
    if len(found) > 1:
        raise DataError(f"{source} holds {name} in {len(found)} places; name the folder of one of them")
    return found[0]


def _kind(path: Path) -> str | None:
    return next((kind for kind, names in BOXES.items() if path.name.lower() in names), None)


def _demand_folders(top: Path, names: Sequence[str], because: str, source: Path) -> None:
    if missing := [name for name in names if not (top / name).is_dir()]:
        raise DataError(f"{source} has {because} but not {', '.join(missing)}; download the dataset again")


def _official(top: Path, source: Path) -> Iterator[Placement]:
    _demand_folders(top, list(FOLDERS.values()), FOLDERS["train"], source)
    more = [MULTI_QUERY] if (top / MULTI_QUERY).is_dir() else []
    for name in (*FOLDERS.values(), *more):
        yield from (Placement(path, name, path.name) for path in _images(top / name))


def _by_identity(top: Path, source: Path) -> Iterator[Placement]:
    _demand_folders(top, list(_BY_IDENTITY.values()), "gallery", source)
    train = next(
        (names for names in _TRAIN_BY_IDENTITY if all((top / name).is_dir() for name in names)), None
    )
    if train is None:
        raise DataError(f"{source} has gallery but not train_all, nor train and val; prepare it again")
    parts = [(name, FOLDERS["train"]) for name in train]
    parts += [(name, FOLDERS[split]) for split, name in _BY_IDENTITY.items()]
    if (top / _MULTI_QUERY_BY_IDENTITY).is_dir():
        parts.append((_MULTI_QUERY_BY_IDENTITY, MULTI_QUERY))
    for name, folder in parts:
        for person in sorted(path for path in (top / name).iterdir() if path.is_dir()):
            for path in _images(person):
                if path.name.partition("_")[0] != person.name:
                    raise DataError(
                        f"{source}: {path.relative_to(top)} lies in the folder of another identity"
                    )
                yield Placement(path, folder, path.name)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_image_name(path.name) and path.is_file())
