"""`reid-pareto simulate`: try a sampler on tabulated trials before paying for real ones."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

import spaces
from reid.config import reject_unknown
from reid.errors import ConfigError
from search.console import out, print_json
from search.options import parse_halving
from search.planner import check_space

__all__ = ["simulate"]

_LINES = 16


def simulate(
    space: Annotated[str, typer.Option(help="Preset or path of a space file.")] = "market-osnet",
    trials: Annotated[int, typer.Option(min=1, help="Committed trials in the end.")] = 64,
    workers: Annotated[int, typer.Option(min=1, help="Simulated trials at once.")] = 1,
    sampler: Annotated[str, typer.Option(help="tpe, nsga2, gp, random or grid.")] = "tpe",
    landscape: Annotated[str, typer.Option(help="Shipped table or path of one.")] = "market-osnet",
    scheduler: Annotated[str, typer.Option(help="none, or asha to stop trials early.")] = "none",
    grace_epochs: Annotated[int, typer.Option(help="Epochs before asha looks at a trial.")] = 2,
    eta: Annotated[int, typer.Option(help="One of so many trials goes on at each look of asha.")] = 2,
    faults: Annotated[float, typer.Option(min=0, max=1, help="Share of trials that something befalls.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the sampler and of the faults.")] = 0,
    study: Annotated[
        Path | None, typer.Option(help="Folder to keep the study in; none when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Run a search against a table of real trials, in virtual time: how its hypervolume grows.

    Driver, sampler and records are those of `search`; nothing is trained.

    Example: reid-pareto simulate --space market-osnet --trials 64 --workers 8 --sampler tpe
    """
    from results.layout import definition_path
    from search.sampler import SAMPLERS
    from search.simulator.landscape import load_landscape

    reject_unknown([sampler], SAMPLERS, "sampler")
    halving = parse_halving(scheduler, grace_epochs, eta)
    wanted, table = spaces.load(space), load_landscape(landscape)
    check_space(wanted)
    if study is not None and definition_path(study).exists():
        raise ConfigError(f"{study} holds a study already; a simulation needs a folder of its own")
    # Late, because ray takes seconds to load: a typing error should not.
    from search.simulator.run import simulate as run
    from search.simulator.run import volumes

    with TemporaryDirectory() as temporary:
        done = run(
            study or Path(temporary) / "study", wanted, table,
            trials=trials, workers=workers, sampler=sampler, faults=faults, seed=seed,
            halving=halving,
        )  # fmt: skip
        grown = volumes(done.study)
        figures = {
            "trials": len(grown),
            "epochs": done.cluster.epochs,
            "virtual_hours": done.cluster.clock_s / 3600,
            "front": len(done.study.front()),
            "hypervolume": grown,
        }
    if as_json:
        print_json(figures)
        return
    for count in sorted({round(len(grown) * (step + 1) / _LINES) for step in range(_LINES)} - {0}):
        out.print(f"{count:6d} trials  hypervolume {grown[count - 1]:.4f}", markup=False)
    out.print(f"front {figures['front']}, {figures['virtual_hours']:.1f} virtual hours", markup=False)
