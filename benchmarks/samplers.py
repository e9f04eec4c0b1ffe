"""Hypervolume over trials for every sampler, on a landscape made of real trials; median of several seeds.

    python -m benchmarks.samplers [--seeds 20] [--trials 64] [--random-trials 256]

Samplers are asked and told one trial at a time; no clock enters. Early stopping (`asha`) is compared with none at equal
epochs, with four simulated workers. Writes results/samplers-<device>.json and docs/images/samplers.png.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import spaces
from benchmarks.device import write_result
from reid.files import write_with
from results import hypervolume, pareto_front
from search.feedback import Told
from search.halving import HalvingSettings
from search.sampler import make_sampler
from search.simulator.landscape import Landscape, load_landscape
from search.simulator.run import simulate
from spaces import Space

SAMPLERS = ("tpe", "nsga2", "gp", "random")
DIRECTIONS = ["maximize", "minimize"]
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "samplers.png"


def run(space: Space, landscape: Landscape, name: str, seed: int, trials: int) -> list[float]:
    """Hypervolume after each trial."""
    sampler = make_sampler(name, space, seed)
    front = np.empty((0, 2))
    grown = []
    for number in range(trials):
        params = sampler.ask(number)
        found = landscape.figures(params)
        sampler.tell(Told(number=number, params=params, values=found, constraints={"other": 0.0}))
        front = np.vstack([front, [found["mAP"], found["latency_ms"]]])
        front = front[pareto_front(front, DIRECTIONS)]
        grown.append(hypervolume(front, DIRECTIONS, [0.0, landscape.baseline["latency_ms"]]))
    return grown


def first_reaching(grown: list[float], volume: float) -> int | None:
    """Trials after which a hypervolume is reached."""
    return next((number + 1 for number, value in enumerate(grown) if value >= volume), None)


def at_equal_epochs(
    space: Space, landscape: Landscape, seeds: int, budget_trials: int
) -> dict[str, dict[str, float]]:
    """Hypervolume and trials of random search with and without early stopping, as many epochs each."""
    budget = budget_trials * landscape.epochs
    figures = {}
    for name, halving in (("none", None), ("asha", HalvingSettings(grace_epochs=5, eta=2))):
        volumes, counts = [], []
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                done = simulate(
                    Path(folder) / "study", space, landscape, trials=budget_trials * (1 if halving is None else 5),
                    workers=4, sampler="random", seed=seed, halving=halving,
                )  # fmt: skip
                records, spent = [], 0
                for record in done.study.records():
                    spent += (
                        max((row["epoch"] + 1 for row in record.curves), default=landscape.epochs)
                        if (record.status == "stopped")
                        else landscape.epochs
                    )
                    if spent > budget:
                        break
                    records.append(record)
            values = np.array(
                [[r.metrics["mAP"], r.metrics["latency_ms"]] for r in records if r.status == "complete"]
            )
            volumes.append(hypervolume(values, DIRECTIONS, [0.0, landscape.baseline["latency_ms"]]))
            counts.append(len(records))
        figures[name] = {"hypervolume": median(volumes), "trials": median(counts), "epochs": budget}
    return figures


def draw(curves: dict[str, list[float]], path: Path) -> None:
    """Median hypervolume over trials."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, grown in curves.items():
        axes.plot(range(1, len(grown) + 1), grown, label=name)
    axes.set(xlabel="trials", ylabel="hypervolume, median", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    write_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--gp-seeds", type=int, default=5, help="gp takes about a second a trial")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--random-trials", type=int, default=256)
    parser.add_argument("--no-picture", action="store_true")
    options = parser.parse_args()
    space, landscape = spaces.load("market-osnet"), load_landscape("market-osnet")
    curves: dict[str, list[float]] = {}
    for name in SAMPLERS:
        trials = options.random_trials if name == "random" else options.trials
        seeds = min(options.seeds, options.gp_seeds) if name == "gp" else options.seeds
        runs = [run(space, landscape, name, seed, trials) for seed in range(seeds)]
        curves[name] = np.median(np.array(runs), axis=0).tolist()
    goal = curves["random"][-1]
    figures: dict[str, Any] = {
        "seeds": options.seeds,
        "gp_seeds": min(options.seeds, options.gp_seeds),
        "landscape": landscape.source,
        "random_after": {str(options.random_trials): goal},
        "hypervolume_after": {name: {str(len(grown)): grown[-1]} for name, grown in curves.items()},
        "trials_to_what_random_reaches": {
            name: first_reaching(grown, goal) for name, grown in curves.items()
        },
        "tpe_over_random": curves["tpe"][-1] / goal,
        "early_stopping": at_equal_epochs(space, landscape, min(10, options.seeds), 32),
    }
    write_result("samplers", figures)
    if not options.no_picture:
        draw(curves, PICTURE)


if __name__ == "__main__":
    main()
