"""The same real trials through our search, and through Ray Tune with its OptunaSearch and an objective function.

python -m benchmarks.plain_tune [--trials 8] [--work FOLDER]    writes results/plain-tune-<device>.json

Ours goes first, with the random sampler and without limits; its points are what OptunaSearch is then given. The
objective function runs the same steps with a cache for itself alone, and times beside whatever else runs, as a script
that knows of no other trial does. In the end all files are timed again in turns: what a trial noted over that, from the
luckiest to the unluckiest trial, is how far trials disturbed each other or the machine wandered.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.device import one_thread, write_result

SPACE, TRAINING = "demo", ("dense", "prune", "finetune")


def ours(folder: Path, data: Path, trials: int) -> dict[str, Any]:
    """A study of ours: seconds of the wall clock, baseline included, and what each trial gave."""
    import spaces
    from reid.data import load_dataset
    from results.cost import stage_seconds
    from search.jobs import Resources
    from search.opening import Data
    from search.session import search

    known = Data(name="synthetic", root=data, fingerprint=load_dataset("synthetic", data).fingerprint)
    begun = time.perf_counter()
    study = search(
        folder,
        spaces.load(SPACE),
        known,
        trials=trials,
        sampler="random",
        resources=Resources(gpus_per_trial=0),
    )
    wall_s = time.perf_counter() - begun
    records = study.records()
    spent = stage_seconds([*records, *([study.baseline] if study.baseline else [])])
    return {
        "wall_s": wall_s,
        "training_s": sum(spent.get(name, 0.0) for name in TRAINING),
        "points": [dict(record.params) for record in records],
        "mAP": [record.metrics["mAP"] for record in records],
        "latency_ms": [record.metrics["latency_ms"] for record in records],
        "files": [str(study.artifact(record.number) / "model.onnx") for record in records],
    }


def objective(point: Mapping[str, Any], *, data: str, work: str) -> dict[str, Any]:
    """What a user's own objective function would do for a point of the space."""
    import uuid

    import torch

    import spaces
    from reid.pipeline import run
    from results import DiskCache
    from search.planner import trial_config

    torch.set_num_threads(1)
    own = Path(work) / uuid.uuid4().hex
    os.environ["REID_PARETO_LOCKS"] = str(own / "locks")
    os.environ["REID_PARETO_LATENCIES"] = str(own / "latencies")
    config = trial_config(
        spaces.load(SPACE), {**point, "input_size": [int(n) for n in point["input_size"].split("x")]}
    )
    with DiskCache(own / "cache") as cache:
        outcome = run(config, data_root=Path(data), cache=cache)
    assert outcome.artifact is not None
    return {
        "mAP": outcome.metrics["mAP"],
        "latency_ms": outcome.metrics["latency_ms"],
        "training_s": sum(stage.seconds for stage in outcome.stages if stage.name in TRAINING),
        "file": str(outcome.artifact / "model.onnx"),
    }


def plain(work: Path, data: Path, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ray Tune with OptunaSearch on the same points, two at a time."""
    import logging

    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def choice(size: Sequence[int]) -> str:
        return "x".join(map(str, size))

    given = [{**point, "input_size": choice(point["input_size"])} for point in points]
    searcher = OptunaSearch(
        space={
            "prune_rate": tune.uniform(0.2, 0.8),
            "decay_rate": tune.uniform(0.0, 0.9),
            "knn": tune.randint(2, 6),
            "input_size": tune.choice(["128x64", "96x48"]),
            "quantization": tune.choice(["fp32", "int8-static"]),
        },
        metric=["mAP", "latency_ms"],
        mode=["max", "min"],
        points_to_evaluate=given,
    )
    root = str(Path(__file__).resolve().parents[1])
    begun = time.perf_counter()
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": root}},
    )

    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        from benchmarks.plain_tune import objective

        return objective(config, data=str(data), work=str(work))

    results = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=len(points)),
        run_config=tune.RunConfig(storage_path=str(work / "tune"), verbose=0),
    ).fit()
    wall_s = time.perf_counter() - begun
    ray.shutdown()
    by_point = {_key(result.config): result.metrics for result in results}
    rows = [by_point[_key(point)] for point in given]
    return {
        "wall_s": wall_s,
        "training_s": sum(row["training_s"] for row in rows),
        "mAP": [row["mAP"] for row in rows],
        "latency_ms": [row["latency_ms"] for row in rows],
        "files": [row["file"] for row in rows],
    }


def _key(point: Mapping[str, Any]) -> str:
    return f"{point['prune_rate']:.12g} {point['decay_rate']:.12g} {point['knn']}"


def in_turns(files: Sequence[str]) -> list[float]:
    """Milliseconds of each file, all timed in turns."""
    from reid.config import Target
    from search.packages import compare_files

    found = compare_files([Path(file) for file in files], [Target()] * len(files))
    return [float(value) for value in found.medians_ms]


def spread(noted: Sequence[float], again: Sequence[float]) -> float:
    """Largest over smallest of what trials noted over what their files take in turns."""
    ratios = [one / other for one, other in zip(noted, again, strict=True)]
    return max(ratios) / min(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--work", type=Path, help="new folder; by default a temporary one")
    given = parser.parse_args()
    one_thread()
    from reid.data.prepare import prepare_synthetic
    from reid.data.synthetic import SyntheticOptions

    root = given.work or Path(tempfile.mkdtemp(prefix="plain-tune-"))
    prepare_synthetic(SyntheticOptions(identities=24, test_identities=8), root / "data")
    one = ours(root / "study", root / "data", given.trials)
    other = plain(root / "plain", root / "data", one["points"])
    again = in_turns([*one["files"], *other["files"]])
    mine, their = again[: given.trials], again[given.trials :]
    for side, turns in ((one, mine), (other, their)):
        del side["files"]
        side["in_turns_ms"] = turns
        side["spread_of_noted_latency"] = spread(side["latency_ms"], turns)
    write_result(
        "plain-tune",
        {
            "trials": given.trials,
            "plain_over_ours_wall": other["wall_s"] / one["wall_s"],
            "plain_over_ours_training": other["training_s"] / one["training_s"],
            "largest_difference_in_mAP": max(
                abs(a - b) for a, b in zip(one["mAP"], other["mAP"], strict=True)
            ),
            "ours": one,
            "ray_tune": other,
        },
    )


if __name__ == "__main__":
    main()
