"""A rehearsal of a search: everything is tried once at a tiny size, and hours and disk are estimated from it."""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid import pipeline
from reid.config import TrialConfig
from reid.data import ReIDDataset, Sample, load_dataset, split_validation
from reid.data.dataset import MANIFEST
from reid.data.market1501 import FOLDERS
from reid.errors import DataError, ResourceError
from reid.files import write_json
from reid.outcome import TrialOutcome
from reid.prune import soft_epochs
from reid.steps.teach import DENSE
from reid.steps.views import SETTINGS
from results import DiskCache
from results.eviction import size_of
from results.mirror import mirror_folder
from results.remote import is_remote
from search.opening import Data
from search.planner import baseline_config, trial_config
from spaces import Parameter, Space

__all__ = ["Estimate", "dry_run", "estimate", "middle"]

_IDENTITIES, _IMAGES_EACH = 12, 8
_TINY: dict[str, Any] = {
    "warmup_epochs": 0, "prune_epochs": 1, "finetune_epochs": 1, "zero_epochs": 0, "validate_every": 0,
    "patience": 0, "keep": "last", "ema_decay": 0.0, "identities_per_batch": 4, "images_per_identity": 4,
    "batch_size": 16, "sampler": "pk", "validation_share": 0.34, "calibration_images": 16, "nni_steps": 2,
    "max_quantization_drop": 1.0,
}  # fmt: skip
"""What makes a trial tiny; everything else is as the space has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a search would take on this machine, one trial after the other.

    Attributes:
        hours: of all trials and the baseline, dense networks trained once per input size and a teacher asked once, or
            beside every training as fast as beside the first; other stages as long as in the dry run.
        disk_bytes: of the study with its cache, decoded images included.
        images_per_second: of training at the largest input size.
    """

    hours: float
    disk_bytes: int
    images_per_second: float


def dry_run(
    study: str, space: Space, data: Data, *, trials: int, threads: int, say: Callable[[str], None]
) -> Estimate:
    """Try the baseline and one trial of a space on a few images of its dataset; nothing is written to the study.

    Args:
        study: where the study would be, a folder or a URI.
        space: checked already.
        data: its dataset.
        trials: that the search would commit.
        threads: of a trial.
        say: told one line at each step, and what was found.

    Raises:
        ReidParetoError: what would have stopped the search, or failed its trials.
    """
    # What is written for a study in an object store is written to this machine first.
    place = mirror_folder(study, "driver") if is_remote(study) else Path(study)
    _demand_place(place)
    torch.set_num_threads(threads)
    dataset = load_dataset(data.name, data.root)
    with tempfile.TemporaryDirectory(prefix="reid-pareto-dry-run-") as folder:
        root = Path(folder)
        _take_few(dataset, root / "data")
        cache = root / "cache"
        outcomes = []
        for name, config in (
            ("baseline", baseline_config(space)),
            ("trial", trial_config(space, middle(space))),
        ):
            say(f"dry run: {name} on {_IDENTITIES} identities")
            tiny = dataclasses.replace(config, epochs=min(1, config.epochs), **_TINY)
            outcomes.append(
                pipeline.run(
                    tiny, data_root=root / "data", cache=DiskCache(cache), say=lambda line: say(f"  {line}")
                )
            )
        few = load_dataset(data.name, root / "data")
        found = estimate(space, dataset, few, trials, outcomes, size_of(cache))
    free = shutil.disk_usage(_nearest(place)).free
    height, width = baseline_config(space).input_size
    say(
        f"dry run: all steps work; {trials} trials one after the other take about {found.hours:.1f} h at "
        f"{found.images_per_second:.0f} images/s of {height}x{width}, and {found.disk_bytes / 2**30:.1f} GiB of "
        f"{free / 2**30:.0f} GiB that are free at {study}"
    )
    say(
        "dry run: not counted: reading, calibrating and evaluating on more images than the dry run has, attempts that "
        "fail, more dense networks than one for each input size, and that a teacher that looks on takes as long beside "
        "small images as beside large ones"
    )
    if found.disk_bytes > free:
        raise ResourceError(
            f"{study}: about {found.disk_bytes / 2**30:.1f} GiB are needed and {free / 2**30:.1f} GiB are free"
        )
    return found


def middle(space: Space) -> dict[str, Any]:
    """A point of the space: the middle of every range, the last of every choice."""
    return space.point(lambda name: _middle_of(space.parameters[name]))


def _middle_of(parameter: Parameter) -> Any:
    if parameter.choice is not None:
        return parameter.choice[-1]
    low, high = parameter.bounds or (0.0, 0.0)
    between = (low * high) ** 0.5 if parameter.log else (low + high) / 2
    return round(between) if parameter.int_range is not None else between


def estimate(
    space: Space,
    dataset: ReIDDataset,
    few: ReIDDataset,
    trials: int,
    outcomes: list[TrialOutcome],
    tiny_cache_bytes: int,
) -> Estimate:
    """Hours and disk of a search from what tiny trials took.

    Args:
        space: what is searched.
        dataset: the whole one.
        few: what the tiny trials had of it.
        trials: of the search.
        outcomes: of the tiny baseline and of a tiny trial.
        tiny_cache_bytes: that both left in the cache.
    """
    config = trial_config(space, middle(space))
    baseline = baseline_config(space)
    sizes = _sizes(space, baseline)
    images = len(split_validation(dataset, config.validation_share, config.seed).train)
    full_area = _area(baseline.input_size)
    area = float(np.mean([_area(size) for size in sizes])) / full_area
    rate = _rate(outcomes, [1.0, _area(config.input_size) / full_area])
    dense_s = len(sizes) * baseline.epochs * images * area / rate
    rounds = 0 if config.method == "none" else config.prune_rounds
    quantizing = config.quantization == "int8-qat"
    epochs = rounds * (soft_epochs(config) + config.finetune_epochs) + quantizing * config.qat_epochs
    own_s = epochs * images * area / rate
    tiny_images = len(split_validation(few, _TINY["validation_share"], config.seed).train)
    tiny_teach_s = _lessons_s(space, config, len(sizes), trials, outcomes)
    teach_s = tiny_teach_s * images / max(tiny_images, 1)
    trained = ("dense", "prune", "finetune", "qat", "teach")
    other_s = sum(stage.seconds for stage in outcomes[-1].stages if stage.name not in trained)
    decoded = sum(len(dataset.train) * height * width * 3 for height, width in sizes)
    return Estimate(
        hours=(dense_s + teach_s + trials * (own_s + other_s)) / 3600,
        disk_bytes=decoded + trials * tiny_cache_bytes,
        images_per_second=rate,
    )


def _lessons_s(
    space: Space, config: TrialConfig, sizes: int, trials: int, outcomes: list[TrialOutcome]
) -> float:
    """Seconds that teachers would take for all trials if there were no more images than in the dry run."""
    baseline_s, trial_s = (_seconds([outcome], "teach") for outcome in outcomes)
    searched = space.parameters.keys() & {"teacher_views", *SETTINGS}
    if config.teacher_view == "drawn" and searched:
        # Other variants need another lesson; those of the tiny trial may be the baseline's.
        return baseline_s + trials * max(baseline_s, trial_s)
    # A file teaches all, the dense network of each size its own; int8-qat has each trial's network teach itself.
    quantizing = config.quantization == "int8-qat"
    return baseline_s + (trials if quantizing else sizes if config.teacher == DENSE else 1) * trial_s


def _rate(outcomes: list[TrialOutcome], shares: list[float]) -> float:
    """Images per second at the largest input size: of the first outcome that trained, by its share of that size's area.

    The baseline comes first and has that size. Small images take more than their share, so a trial's rate counts where
    the baseline trains nothing only.
    """
    for outcome, share in zip(outcomes, shares, strict=True):
        if rates := [row["images_per_second"] for row in outcome.curves]:
            return float(np.median(rates)) * share
    return float("inf")


def _seconds(outcomes: list[TrialOutcome], name: str) -> float:
    """What a stage took where it was computed."""
    stages = (stage for outcome in outcomes for stage in outcome.stages)
    return sum(stage.seconds for stage in stages if stage.name == name and not stage.cached)


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _sizes(space: Space, baseline: TrialConfig) -> list[tuple[int, int]]:
    searched = space.parameters.get("input_size")
    chosen: Iterable[Any] = (
        searched.choice if searched is not None and searched.choice else [baseline.input_size]
    )
    return [(int(size[0]), int(size[1])) for size in chosen]


def _take_few(dataset: ReIDDataset, root: Path) -> None:
    """A dataset of a few identities, as links to the images."""
    splits = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    for split, samples in splits.items():
        folder = root / FOLDERS[split]
        folder.mkdir(parents=True)
        for sample in _few(samples):
            os.symlink(sample.path, folder / sample.path.name)
    write_json(root / MANIFEST, {"name": dataset.name, "schema": 1})


def _few(samples: tuple[Sample, ...]) -> list[Sample]:
    """The first identities' images, as many cameras of each as there are."""
    people: dict[int, list[Sample]] = {}
    for sample in samples:
        people.setdefault(sample.person_id, []).append(sample)
    seen = [own for own in people.values() if len({sample.camera_id for sample in own}) > 1 or len(own) == 1]
    if not seen:
        raise DataError("no identity of the dataset is seen by two cameras; nothing can be evaluated")
    chosen = []
    for own in seen[:_IDENTITIES]:
        cameras: dict[int, int] = {}
        for sample in own:
            cameras[sample.camera_id] = cameras.get(sample.camera_id, 0) + 1
            if cameras[sample.camera_id] <= _IMAGES_EACH // 2:
                chosen.append(sample)
    return chosen


def _demand_place(study: Path) -> None:
    place = _nearest(study)
    if not os.access(place, os.W_OK | os.X_OK):
        raise ResourceError(f"cannot write to {place}; name another --study")


def _nearest(path: Path) -> Path:
    """The path itself or its nearest folder that exists."""
    return next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.exists())
