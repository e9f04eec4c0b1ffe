"""A whole search in virtual time, and what came of it."""

from dataclasses import dataclass
from pathlib import Path

from reid.errors import ConfigError
from results import Record, Study, hypervolume
from results.study import front_of, objective_values
from search.halving import HalvingSettings
from search.opening import Data
from search.session import search
from search.simulator.cluster import DriverKilled, SimulatedCluster
from search.simulator.faults import Faults
from search.simulator.landscape import Landscape
from spaces import Space

__all__ = ["Simulation", "simulate", "volumes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A finished simulated search.

    Attributes:
        study: its records, as those of a real search.
        cluster: the virtual clock and what was run.
        driver_deaths: how often the driver was killed and begun again.
    """

    study: Study
    cluster: SimulatedCluster
    driver_deaths: int


def simulate(
    path: Path,
    space: Space,
    landscape: Landscape,
    *,
    trials: int,
    workers: int = 1,
    sampler: str = "tpe",
    faults: float = 0.0,
    seed: int = 0,
    halving: HalvingSettings | None = None,
    kill_every_s: float | None = None,
) -> Simulation:
    """Search with simulated workers until the study holds `trials`, however often the driver dies.

    Args:
        path: folder of the study.
        space: its parameters are those of the landscape, or fixed.
        landscape: what trials measure.
        trials: committed trials in the end.
        workers: trials at once.
        sampler: name in `search.sampler.SAMPLERS`.
        faults: share of trials that something befalls.
        seed: of sampler and faults.
        halving: how trials are stopped early; None lets all of them end.
        kill_every_s: virtual seconds that a driver lives; longer than a trial, or no search would ever end.

    Raises:
        ConfigError: the space does not fit the landscape, or a driver would not outlive a trial.
    """
    _check_fit(space, landscape)
    if kill_every_s is not None and kill_every_s <= landscape.seconds:
        raise ConfigError(
            f"a driver must outlive one trial of {landscape.seconds:g} s, got {kill_every_s:g} s"
        )
    cluster = SimulatedCluster(
        landscape=landscape, workers=workers, faults=Faults(share=faults, seed=seed), kill_every_s=kill_every_s
    )  # fmt: skip
    data = Data(name=space.dataset, root=path.parent, fingerprint="simulated")
    deaths = 0
    while True:
        try:
            study = search(
                path, space, data, trials=trials, seed=seed, sampler=sampler, halving=halving,
                runner=cluster.run_jobs,
                # Simulated faults are all alike.
                max_identical_failures=0,
            )  # fmt: skip
        except DriverKilled:
            deaths += 1
        else:
            return Simulation(study=study, cluster=cluster, driver_deaths=deaths)


def volumes(study: Study) -> list[float]:
    """Hypervolume of the front after each trial, in the order of their numbers."""
    point = study.reference_point
    assert point is not None, "a finished study has a baseline"
    directions, reference = list(study.objectives.values()), list(point.values())
    front: list[Record] = []
    grown = []
    for record in study.records():
        front = front_of([*front, record], study.objectives)
        grown.append(hypervolume(objective_values(front, study.objectives), directions, reference))
    return grown


def _check_fit(space: Space, landscape: Landscape) -> None:
    known = set(landscape.trials[0]["params"])
    missing = sorted(known - set(space.parameters) - set(space.fixed))
    if missing:
        raise ConfigError(
            f"the landscape depends on {', '.join(missing)}, which space {space.name} does not set"
        )
    if set(space.objectives) - {"mAP", "latency_ms"}:
        raise ConfigError(
            f"a landscape knows mAP and latency_ms; space {space.name} asks for other objectives"
        )
    for name, parameter in space.parameters.items():
        if name in known and isinstance(landscape.trials[0]["params"][name], str):
            seen = {trial["params"][name] for trial in landscape.trials}
            if unseen := [value for value in parameter.choice or () if value not in seen]:
                raise ConfigError(
                    f"no trial of the landscape has {name}={unseen[0]!r}; leave it out of the space"
                )
