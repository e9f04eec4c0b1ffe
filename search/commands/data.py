"""`reid-pareto data`: bring a dataset into one checked folder, and say what such a folder holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars
from rich.table import Table

from reid.config import reject_unknown
from reid.data import DATASETS
from reid.data.inspect import Inspection, SplitFacts
from reid.data.inspect import inspect as inspect_folder
from reid.data.parallel import Progress
from reid.data.prepare import Prepared, prepare_synthetic
from reid.data.prepare import prepare as prepare_folder
from reid.data.synthetic import SyntheticOptions
from reid.errors import ConfigError
from search.console import errors, out, print_json

__all__ = ["data_app", "inspect", "prepare"]

data_app = typer.Typer(help="Prepare a dataset or look into a prepared one.", no_args_is_help=True)

_MOST_BAD_SHOWN = 20
_DEFAULTS = SyntheticOptions()


@data_app.command()
def prepare(
    name: Annotated[str, typer.Argument(help=f"Dataset: {', '.join(sorted(DATASETS))}.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to make; absent or empty.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Downloaded archive, or the folder it was unpacked to.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave damaged images out instead of stopping.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help=f"synthetic: of everything drawn. Default {_DEFAULTS.seed}.")
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
    """Unpack or generate a dataset, open every image once, and write it as one folder.

    Example: reid-pareto data prepare market1501 --from Market-1501-v15.09.15.zip --to data/market

    Example: reid-pareto data prepare synthetic --to data/synthetic --seed 1
    """
    reject_unknown([name], DATASETS, "dataset")
    asked = {
        "seed": seed, "identities": identities, "test_identities": test_identities,
        "images_per_camera": images_per_camera, "cameras": cameras,
    }  # fmt: skip
    given = {option: value for option, value in asked.items() if value is not None}
    with _progress() as progress:
        if name == "synthetic":
            prepared = _prepare_synthetic(given, source, to, skip_bad, progress)
        else:
            prepared = _prepare_real(name, given, source, to, skip_bad, progress)
    if json:
        print_json(prepared.to_dict())
    else:
        _show_prepared(prepared)


@data_app.command()
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


def _prepare_synthetic(
    given: dict[str, int], source: Path | None, to: Path, skip_bad: bool, progress: Progress
) -> Prepared:
    if source is not None or skip_bad:
        option = "--from" if source is not None else "--skip-bad"
        raise ConfigError(f"{option} does not go with synthetic, which is generated; leave it out")
    return prepare_synthetic(SyntheticOptions(**given), to, progress=progress)


def _prepare_real(
    name: str, given: dict[str, int], source: Path | None, to: Path, skip_bad: bool, progress: Progress
) -> Prepared:
    if given:
        option = "--" + next(iter(given)).replace("_", "-")
        raise ConfigError(f"{option} goes with synthetic only, not with {name}; leave it out")
    if source is None:
        raise ConfigError(f"{name} needs --from: the downloaded archive or the folder it was unpacked to")
    return prepare_folder(name, source, to, skip_bad=skip_bad, progress=progress)


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
    for name, facts in splits.items():
        counts = (facts.images, facts.identities, facts.cameras, facts.junk, facts.distractors)
        table.add_row(name, *(f"{count:,}" for count in counts))
    out.print(f"{found.name} in {found.root}", markup=False)
    out.print(table)
    warnings = (
        (found.shared_identities, "identities in both training and test split: test figures mean nothing"),
        (found.unmatched_queries, "queries without an image of the same person from another camera"),
        (found.ignored, "files ignored, their names are no image names"),
    )
    for count, meaning in warnings:
        if count:
            out.print(f"{count:,} {meaning}", style="yellow", markup=False)
    names = [f"{name} ({reason})" for name, reason in found.bad]
    bad = f"{len(names):,} bad images: {_shortened(names)}" if names else "no bad images"
    out.print(bad, style="red" if names else None, markup=False)


def _shortened(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _MOST_BAD_SHOWN} more" if len(names) > _MOST_BAD_SHOWN else ""
    return ", ".join(names[:_MOST_BAD_SHOWN]) + more
