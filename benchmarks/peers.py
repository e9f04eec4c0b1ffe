"""Ours beside Optuna, Torch-Pruning and NNI on equal tasks, in one run.

    python -m benchmarks.peers [--small]

Optuna: the front and the hypervolume of the same points. Torch-Pruning: its magnitude pruner and ours (`l2`), half of
every layer's channels, kept counts in multiples of 16, files timed in turns (onnxruntime, one thread). NNI: its own
slimming after its own L1 pruner. Torchreid has a program of its own, benchmarks.torchreid_ranking.
Writes results/peers-<device>.json.
"""

import argparse
import copy
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
import torch
import torch_pruning
from optuna._hypervolume import compute_hypervolume
from torch import nn

from benchmarks.device import one_thread, write_result
from reid.config import Target
from reid.data import MEAN, STD
from reid.errors import ConfigError
from reid.export import InputSpec, export_onnx
from reid.models import ReIDNetwork, build, count
from reid.prune import PrunePlan, find_units, kept_count, slim
from reid.prune.allocate import unit_filters
from reid.prune.nni import demand_nni
from reid.runtime import open_artifact
from reid.timing import DeviceLock, compare
from results.front import pareto_front
from results.hypervolume import hypervolume

SIZE = (256, 128)
ROUND_TO = 16
RATE = 0.5
Figures = dict[str, Any]


def taken(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and the seconds it took."""
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def beside_optuna(trials: int, front: int) -> Figures:
    """Front of random trials and hypervolume of an arc, by both."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    points = np.random.default_rng(0).random((trials, 2))
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trials([optuna.trial.create_trial(values=list(point)) for point in points.tolist()])
    theirs, their_s = taken(lambda: {trial.number for trial in study.best_trials})
    ours, our_s = taken(lambda: pareto_front(points, ["maximize", "minimize"]))
    angle = np.sort(np.random.default_rng(1).uniform(0, np.pi / 2, front))
    arc = np.column_stack([1 - np.sin(angle), 1 - np.cos(angle)])
    their_volume, their_volume_s = taken(lambda: compute_hypervolume(arc, np.ones(2)))
    our_volume, our_volume_s = taken(lambda: hypervolume(arc, ["minimize"] * 2, [1.0, 1.0]))
    return {
        "trials": trials, "same_front": theirs == set(np.flatnonzero(ours).tolist()),
        "front_s": {"optuna": their_s, "ours": our_s}, "front_of_the_hypervolume": front,
        "hypervolume_difference": abs(their_volume - our_volume),
        "hypervolume_s": {"optuna": their_volume_s, "ours": our_volume_s},
    }  # fmt: skip


def by_torch_pruning(dense: ReIDNetwork) -> nn.Module:
    """Half of every layer by its magnitude pruner; classifiers keep their scores."""
    model = copy.deepcopy(dense)
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        torch.zeros(1, 3, *SIZE),
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=RATE,
        round_to=ROUND_TO,
        ignored_layers=[model.classifier],
    )
    pruner.step()
    return model


def by_us(dense: ReIDNetwork) -> nn.Module:
    """Half of every unit by the norms of its filters."""
    units = find_units(dense, "grouped")
    kept = {}
    for unit in units:
        stay = unit_filters(dense, unit).norm(dim=1).argsort(descending=True)
        kept[unit.name] = tuple(sorted(stay[: kept_count(unit.width, RATE, ROUND_TO)].tolist()))
    return slim(dense, PrunePlan(units=units, kept=kept))


def by_nni(dense: ReIDNetwork) -> nn.Module:
    """NNI's L1 masks and its ModelSpeedup."""
    demand_nni()
    from nni.compression.pruning import L1NormPruner
    from nni.compression.speedup import ModelSpeedup

    model = copy.deepcopy(dense)
    pruner = L1NormPruner(model, [{"op_types": ["Conv2d"], "sparse_ratio": RATE}])
    masks = pruner.compress()[1]
    pruner.unwrap_model()
    small: nn.Module = ModelSpeedup(model, torch.zeros(1, 3, *SIZE), masks).speedup_model()
    return small


PEERS: dict[str, Callable[[ReIDNetwork], nn.Module]] = {
    "ours": by_us,
    "torch-pruning": by_torch_pruning,
    "nni": by_nni,
}


def pruned(name: str, folder: Path, rounds: int) -> Figures:
    """A backbone halved by each, their sizes and latencies; what fails is told in its words."""
    torch.manual_seed(0)
    dense = build(name, 1).eval()
    networks: dict[str, nn.Module] = {"dense": dense}
    rows: dict[str, Figures] = {"dense": {}}
    for peer, work in PEERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                networks[peer], seconds = taken(partial(work, dense))
            rows[peer] = {"prune_s": round(seconds, 2)}
        except ConfigError:
            raise
        except Exception as error:  # a peer's failure is a finding
            rows[peer] = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"}
    timers = []
    for peer, network in networks.items():
        with torch.no_grad():
            dim = network.eval()(torch.zeros(2, 3, *SIZE)).shape[1]
        spec = InputSpec(height=SIZE[0], width=SIZE[1], mean=MEAN, std=STD, embedding_dim=dim)
        path = folder / f"{name}-{peer}.onnx"
        export_onnx(network, spec, path)
        size = count(cast(ReIDNetwork, network), SIZE)
        rows[peer] |= {"params": size.params, "macs": size.macs, "size_bytes": path.stat().st_size}
        timers.append(open_artifact(path, Target(threads=1, batch=1)).timer())
    timing = compare(timers, lock=DeviceLock("cpu"), rounds=rounds, seconds=0.5)
    ratios = np.median(timing.rounds_ms / timing.rounds_ms[0], axis=1)
    for peer, ratio in zip(networks, ratios, strict=True):
        rows[peer]["latency_ratio"] = round(float(ratio), 4)
    return {"trusted": timing.trusted, **rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="fewer trials, ResNet-18 only, few rounds")
    small = parser.parse_args().small
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        names = ["resnet18"] if small else ["resnet18", "densenet121", "mobilenet_v2", "osnet_x1_0"]
        figures = {
            "optuna": beside_optuna(500, 200) if small else beside_optuna(5000, 2000),
            "pruning": {name: pruned(name, Path(folder), 4 if small else 12) for name in names},
        }
    write_result("peers", figures)


if __name__ == "__main__":
    main()
