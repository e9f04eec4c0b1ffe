"""`reid-pareto report`: a study as one page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from reid.errors import ConfigError
from results.study import open_study
from search.console import out as console

__all__ = ["report"]


def report(
    study: Annotated[str, typer.Argument(help="Folder or URI of the study.")],
    out: Annotated[Path | None, typer.Option("--out", help="HTML file to write.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Also draw the front into this PNG file.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also draw the front into this SVG file.")] = None,
) -> None:
    """Write a self-contained page to choose a trial on, the front as a picture, or both.

    Example: reid-pareto report runs/market --out report.html --png front.png --svg front.svg
    """
    if out is None and png is None and svg is None:
        raise ConfigError("report writes nothing: give --out report.html, --png front.png or --svg front.svg")
    for option, path, suffixes in (
        ("out", out, (".html", ".htm")),
        ("png", png, (".png",)),
        ("svg", svg, (".svg",)),
    ):
        if path is not None and path.suffix.lower() not in suffixes:
            raise ConfigError(f"--{option} {path} must end in {suffixes[0]}")
    opened = open_study(study)
    if out is not None:
        from results.report import write_report  # here, because plotly is slow to import

        console.print(f"report: {write_report(opened, out)}", markup=False)
    for path in (png, svg):
        if path is not None:
            from results.front_image import write_front_image

            console.print(f"picture: {write_front_image(opened, path)}", markup=False)
