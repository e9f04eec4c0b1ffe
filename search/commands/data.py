"""`reid-pareto data`: bring a dataset into one checked folder, and say what such a folder holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars
from rich.table import Table

from reid.config import reject_unknown
from reid.data import DATASETS
from reid.data.inspect import Inspection, SplitFacts
from reid.data.inspect import inspect as inspect_folder
from reid.data.layout import BOXES
from reid.data.parallel import Progress
from reid.data.prepare import Prepared, prepare_merged, prepare_synthetic
from reid.data.prepare import prepare as prepare_download
from reid.data.synthetic import SyntheticOptions
from reid.data.tree import TreeOptions
from reid.errors import ConfigError
from search.console import errors, out, print_json

__all__ = ["data", "inspect", "prepare"]

data = typer.Typer(
    add_completion=False, help="Prepare a dataset or look into a prepared one.", no_args_is_help=True
)

_MOST_BAD_SHOWN = 20
_DEFAULTS = SyntheticOptions()


_OPTIONS: dict[str, tuple[str, ...]] = {
    "cuhk03": ("source", "sha256", "skip_bad", "boxes"),
    "dukemtmc": ("source", "sha256", "skip_bad"),
    "folder": ("source", "sha256", "skip_bad", "pattern", "test_share", "seed"),
    "market1501": ("source", "sha256", "skip_bad"),
    "merged": ("source", "evaluate_on"),
    "msmt17": ("source", "sha256", "skip_bad"),
    "synthetic": ("seed", "identities", "test_identities", "images_per_camera", "cameras"),
}
"""Options that each dataset takes, besides --to and --json."""


@data.command()
def prepare(
    name: Annotated[str, typer.Argument(help=f"Dataset: {', '.join(sorted(DATASETS))}.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to make; absent or empty.")],
    source: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="Downloaded archive, or the folder it was unpacked to. merged: several times."
        ),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="Refuse an archive with another checksum, hexadecimal.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave damaged images out instead of stopping.")
    ] = False,
    boxes: Annotated[
        str | None, typer.Option(help=f"cuhk03: {' or '.join(sorted(BOXES))}. Default detected.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="folder: regular expression with the groups person, camera and perhaps split."),
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(help="folder: share of the people to test on. Default 0.5.")
    ] = None,
    evaluate_on: Annotated[
        Path | None, typer.Option(help="merged: the one of --from to test on. Default: the first.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help=f"synthetic, folder: of everything drawn. Default {_DEFAULTS.seed}."),
    ] = None,
    identities: Annotated[
        int | None, typer.Option(help=f"synthetic: people to train on. Default {_DEFAULTS.identities}.")
    ] = None,
    test_identities: Annotated[
        int | None, typer.Option(help=f"synthetic: people to test on. Default {_DEFAULTS.test_identities}.")
    ] = None,
    images_per_camera: Annotated[
        int | None,
        typer.Option(help=f"synthetic: images per person and camera. Default {_DEFAULTS.images_per_camera}."),
    ] = None,
    cameras: Annotated[
        int | None, typer.Option(help=f"synthetic: cameras, 2 to 6. Default {_DEFAULTS.cameras}.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    r"""Unpack, copy or generate a dataset, open every image once, and write it as one folder.

    Example: reid-pareto data prepare market1501 --from Market-1501-v15.09.15.zip --to data/market

    Example: reid-pareto data prepare cuhk03 --from cuhk03-np.zip --boxes labelled --to data/cuhk

    Example: reid-pareto data prepare folder --from crops --pattern '(?P<person>\d+)/c(?P<camera>\d+)' --to data/own

    Example: reid-pareto data prepare merged --from data/market --from data/own --evaluate-on data/own --to data/both

    Example: reid-pareto data prepare synthetic --to data/synthetic --seed 1
    """
    reject_unknown([name], DATASETS, "dataset")
    asked = {
        "source": source, "sha256": sha256, "skip_bad": skip_bad or None, "boxes": boxes, "pattern": pattern,
        "test_share": test_share, "evaluate_on": evaluate_on, "seed": seed, "identities": identities,
        "test_identities": test_identities, "images_per_camera": images_per_camera, "cameras": cameras,
    }  # fmt: skip
    given = {option: value for option, value in asked.items() if value is not None}
    _reject_foreign(name, given)
    with _progress() as progress:
        prepared = _prepare(name, given, to, progress)
    if json:
        print_json(prepared.to_dict())
    else:
        _show_prepared(prepared)


@data.command()
def inspect(
    data: Annotated[Path, typer.Argument(help="Folder of a prepared dataset.")],
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Count identities, cameras and images per split, and find files that cannot be decoded.

    Example: reid-pareto data inspect data/market --json
    """
    with _progress() as progress:
        found = inspect_folder(data, progress=progress)
    if json:
        print_json(found.to_dict())
    else:
        _show_inspection(found)


def _reject_foreign(name: str, given: dict[str, Any]) -> None:
    for option in given:
        if option not in _OPTIONS[name]:
            others = ", ".join(other for other, options in _OPTIONS.items() if option in options)
            raise ConfigError(f"{_flag(option)} does not go with {name}, only with {others}; leave it out")


def _flag(option: str) -> str:
    return "--from" if option == "source" else "--" + option.replace("_", "-")


def _prepare(name: str, given: dict[str, Any], to: Path, progress: Progress) -> Prepared:
    if name == "synthetic":
        return prepare_synthetic(SyntheticOptions(**given), to, progress=progress)
    sources = given.pop("source", [])
    if name == "merged":
        return prepare_merged(sources, given.get("evaluate_on"), to, progress=progress)
    if not sources:
        raise ConfigError(f"{name} needs --from: the downloaded archive or the folder it was unpacked to")
    if len(sources) > 1:
        raise ConfigError(f"--from is given {len(sources)} times; only merged takes more than one")
    if name == "folder":
        given["tree"] = _tree_options(given)
    return prepare_download(name, sources[0], to, progress=progress, **given)


def _tree_options(given: dict[str, Any]) -> TreeOptions:
    """Take the options of `folder` out of `given`."""
    chosen = {option: given.pop(option) for option in ("pattern", "test_share", "seed") if option in given}
    if "pattern" not in chosen:
        raise ConfigError("folder needs --pattern: a regular expression with the groups person and camera")
    return TreeOptions(**chosen)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars on standard error, one per kind of work; none where nobody watches."""
    bars = ProgressBars(
        TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=errors, transient=True, disable=not errors.is_terminal,
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}

    def advance(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what)
        bars.update(tasks[what], completed=done, total=total or None)

    with bars:
        yield advance


def _show_prepared(prepared: Prepared) -> None:
    counts = ", ".join(f"{count:,} {split}" for split, count in prepared.images.items())
    verb = "was already prepared from the same source" if prepared.already else "is prepared"
    out.print(f"{prepared.name} {verb} in {prepared.root}: {counts} images", markup=False)
    if prepared.skipped:
        out.print(
            f"left out as damaged: {len(prepared.skipped)} ({_shortened(prepared.skipped)})", markup=False
        )
    if prepared.unmatched:
        out.print(f"{prepared.unmatched:,} images do not match the pattern and were left out", style="yellow")
    _warn_of_leaks(len(prepared.leaks.identities), prepared.leaks.images)
    if prepared.official is False:
        out.print(
            f"note: these are not the counts of the official {prepared.name}; "
            "figures measured on it cannot be compared with published ones",
            style="yellow",
            markup=False,
        )


def _show_inspection(found: Inspection) -> None:
    table = Table("split", "images", "identities", "cameras", "junk", "distractors")
    splits: dict[str, SplitFacts] = {"train": found.train, "query": found.query, "gallery": found.gallery}
    if found.multi_query.images:
        splits["multi-query"] = found.multi_query
    for name, facts in splits.items():
        counts = (facts.images, facts.identities, facts.cameras, facts.junk, facts.distractors)
        table.add_row(name, *(f"{count:,}" for count in counts))
    out.print(f"{found.name} in {found.root}", markup=False)
    out.print(table)
    _warn_of_leaks(found.shared_identities, found.shared_images)
    warnings = (
        (found.unmatched_queries, "queries without an image of the same person from another camera"),
        (found.ignored, "files ignored, their names are no image names"),
    )
    for count, meaning in warnings:
        if count:
            out.print(f"{count:,} {meaning}", style="yellow", markup=False)
    names = [f"{name} ({reason})" for name, reason in found.bad]
    bad = f"{len(names):,} bad images: {_shortened(names)}" if names else "no bad images"
    out.print(bad, style="red" if names else None, markup=False)


def _warn_of_leaks(identities: int, images: tuple[tuple[str, str], ...]) -> None:
    names = _shortened([f"{train} = {test}" for train, test in images], most=3)
    leaks = (
        (identities, "identities in both training and test split: test figures mean nothing"),
        (len(images), f"test images that stand in the training split too, byte for byte: {names}"),
    )
    for count, meaning in leaks:
        if count:
            out.print(f"{count:,} {meaning}", style="red", markup=False)


def _shortened(names: tuple[str, ...] | list[str], most: int = _MOST_BAD_SHOWN) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
