"""`reid-pareto demo`: the main job from nothing to a verified package, on generated data."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

import results
from reid.errors import ArtifactError
from search.commands.pick import pick
from search.commands.report import report
from search.commands.retime import retime
from search.commands.search import search
from search.commands.verify import verify
from search.console import out as console

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the study, the report and the package.")] = Path(
        "demo"
    ),
    trials: Annotated[int, typer.Option(help="Trials to commit.")] = 8,
) -> None:
    """Search, report, pick and verify on generated pedestrians; run it again to resume.

    Where the machine changed its pace, so that no latency is trusted, all are taken again as `retime` does.

    Example: reid-pareto demo --out demo --trials 8
    """
    study, page, package = out / "study", out / "report.html", out / "package"
    search(study=str(study), trials=trials)
    margin = _margin_over_untrained(study)
    if not results.open_study(study).front():
        # A machine that changed its pace after the start lets no latency be trusted; in one run they are comparable.
        retime(str(study))
    report(str(study), out=page, png=out / "front.png")
    if not package.exists():
        pick(str(study), out=package)
    verify(package)
    console.print(f"\nstudy    {study}\nreport   {page}\npackage  {package}", markup=False)
    console.print(margin, markup=False)


def _margin_over_untrained(study: Path) -> str:
    """Say by how much every committed trial beats the same network untrained.

    Raises:
        ArtifactError: a trial does not, so it was not really trained.
    """
    opened = results.open_study(study)
    assert opened.baseline is not None
    untrained = float(opened.baseline.checks["untrained_mAP"])
    trained = [r.metrics["mAP"] for r in opened.records() if "mAP" in r.metrics]
    if not trained:
        command = f"reid-pareto status {shlex.quote(str(study))}"
        raise ArtifactError(f"no trial of {study} was trained; {command} tells why")
    if min(trained) <= untrained:
        raise ArtifactError(
            f"a trial of {study} has mAP {min(trained):.3f}, no better than untrained ({untrained:.3f})"
        )
    least, most = min(trained), max(trained)
    return (
        f"{len(trained)} trials were trained: mAP {least:.3f} to {most:.3f}, untrained {untrained:.3f}, "
        f"smallest margin {least - untrained:.3f}"
    )
