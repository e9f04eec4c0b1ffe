"""`reid-pareto review`: the study's page while the search runs, with a pick button."""

import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from reid.errors import ConfigError
from results.study import open_study
from search.console import out as console
from search.console import progress_line
from search.recheck import dataset_at_hand
from search.review import ReviewServer, Settings

__all__ = ["review"]


def review(
    study: Annotated[str, typer.Argument(help="Folder or URI of the study; the search may be running.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    packages: Annotated[
        Path | None,
        typer.Option(help="Folder for packages; STUDY/packages when left out, packages for a URI."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The study's dataset, if it is not where the study was run.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Time the candidates of a pick again and evaluate them."),
    ] = True,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Serve the report on this machine, updated as trials are committed, with buttons that make packages.

    The address holds a token: who has it can make packages in that folder. Ctrl-C ends it.

    Example: reid-pareto review runs/market
    """
    opened = open_study(study)
    dataset_at_hand(opened, data)
    home = opened.path if opened.remote is None else Path()
    place = packages or home / "packages"
    _demand_folder(place)
    settings = Settings(study=opened, packages=place, data=data, check=check, say=progress_line)
    with ReviewServer(settings, port) as server:
        console.print(f"review: {server.url}", markup=False)
        if browser:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _demand_folder(place: Path) -> None:
    """Refuse a place for packages that neither is a folder nor can become one.

    Raises:
        ConfigError: it is a file, or lies below one.
    """
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"--packages {place}: {there} is no folder; name one for the packages")
