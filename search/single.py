"""One trial outside a study: run it, and leave its artifact, weights and figures in a folder."""

import dataclasses
from pathlib import Path
from typing import Any

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.files import read_json, write_atomic, write_json
from reid.outcome import TrialOutcome
from reid.pipeline import run
from results import DiskCache
from search.console import progress_line

__all__ = ["run_single", "summary"]

WEIGHT_STAGES = ("finetune", "dense")
"""Stages that hold the final weights, the last of the pipeline first."""


def run_single(config: TrialConfig, data_root: Path, out: Path) -> TrialOutcome:
    """Run `config` and fill `out`; what an interrupted run computed is continued.

    Args:
        config: the trial.
        data_root: the prepared dataset.
        out: new folder, or that of the same command interrupted: trial.json, model.onnx, input_spec.json,
            model.safetensors (with plan.json for a slimmed network) and the stages below cache/.

    Raises:
        ConfigError: `out` holds another trial.
    """
    asked = config.to_dict()
    asked_file = out / "config.json"
    if out.is_dir() and any(out.iterdir()) and not _is_same(asked_file, asked):
        raise ConfigError(f"--out {out} holds something else; name a new folder")
    write_json(asked_file, asked)
    cache = DiskCache(out / "cache")
    outcome = run(config, data_root=data_root, cache=cache, say=progress_line)
    if outcome.artifact is not None:
        _copy(outcome.artifact, out, ("model.onnx", "input_spec.json"))
        keys = {stage.name: stage.key for stage in outcome.stages}
        weights = next(keys[name] for name in WEIGHT_STAGES if name in keys)
        _copy(out / "cache" / weights, out, ("model.safetensors", "plan.json"))
    write_json(out / "trial.json", summary(outcome))
    return outcome


def summary(outcome: TrialOutcome) -> dict[str, Any]:
    """Plain values of an outcome, without the folder it lies in."""
    values = dataclasses.asdict(outcome)
    del values["artifact"]
    return values


def _is_same(path: Path, asked: dict[str, Any]) -> bool:
    return path.is_file() and bool(read_json(path) == asked)


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (source / name).is_file():
            write_atomic(target / name, (source / name).read_bytes())
