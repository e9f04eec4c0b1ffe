"""`reid-pareto add-timings`: figures of another machine, merged into the study."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from reid.errors import ConfigError
from results.remote import is_remote
from results.study import open_study
from search.console import out as console
from search.timings import merge_timings

__all__ = ["add_timings"]


def add_timings(
    study: Annotated[str, typer.Argument(help="Folder of the study that the packages were picked from.")],
    file: Annotated[Path, typer.Argument(help="What bench --json printed on the other machine.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of the machine, for front --target: lower-case letters; by default those of its host name.",
        ),
    ] = None,
) -> None:
    """Merge latencies that `bench --json` took on another machine into a study, as facts.

    Networks are told by the hash of their file. Records are not touched; the same file again changes nothing.

    Example: reid-pareto add-timings runs/market phone.json --name phone
    """
    if is_remote(study):
        raise ConfigError(f"{study}: timings are merged into a local study; copy its folder here first")
    merged = merge_timings(open_study(study), file, name)
    see = ""
    if merged.shown:
        see = f"; see them: reid-pareto front {shlex.quote(study)} --target {merged.name}"
    console.print(f"{len(merged.added)} added, {len(merged.present)} there already{see}", markup=False)
    for line in merged.off_front:
        console.print(line, markup=False)
