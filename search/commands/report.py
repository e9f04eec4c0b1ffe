"""`reid-pareto report`: a study as one page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from results.study import open_study
from search.console import out as console

__all__ = ["report"]


def report(
    study: Annotated[Path, typer.Argument(help="Folder of the study.")],
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")],
    png: Annotated[Path | None, typer.Option("--png", help="Also draw the front into this PNG file.")] = None,
) -> None:
    """Write a self-contained page with the front, every trial and its configuration.

    Example: reid-pareto report runs/market --out report.html --png front.png
    """
    from results.report import write_report  # here, because plotly is slow to import

    opened = open_study(study)
    console.print(f"report: {write_report(opened, out)}", markup=False)
    if png is not None:
        from results.front_image import write_front_png

        console.print(f"picture: {write_front_png(opened, png)}", markup=False)
