"""One trial outside a study: run it, and leave its artifact, weights and figures in a folder."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reid.config import Limit, TrialConfig, broken
from reid.errors import ConfigError
from reid.files import read_json, remove_tree, write_atomic, write_json
from reid.outcome import TrialOutcome
from reid.pipeline import check, run
from reid.timing import DeviceLock, calibration_kernel_ms
from reid.train import Watcher
from results import DiskCache
from search.console import progress_line

__all__ = ["claim", "run_single", "summary"]

WEIGHT_STAGES = ("finetune", "dense")
"""Stages that hold the final weights, the last of the pipeline first."""

_OF_REFUSAL = ("config.json", "cache/*.lock", "cache/*.use", "cache/*.failed.json")


def run_single(
    config: TrialConfig,
    data_root: Path,
    out: Path,
    *,
    cache: Path | None = None,
    watcher: Watcher | None = None,
    limits: Sequence[Limit] = (),
) -> TrialOutcome:
    """Run `config` and fill `out`; what an interrupted run computed is continued.

    Args:
        config: the trial.
        data_root: the prepared dataset.
        out: new folder, or that of the same command interrupted: trial.json, model.onnx, input_spec.json,
            model.safetensors (with plan.json for a slimmed network) and, unless `cache` is given, the stages
            below cache/.
        cache: folder of stages that several runs share.
        watcher: looks on while a stage trains.
        limits: hard limits; a trial that breaks one is finished all the same, and told to be infeasible.

    Raises:
        ConfigError: `out` holds another trial.
        ReidParetoError: whatever `reid.pipeline.run` raises; `out` is as it was if nothing was computed.
    """
    check(config)
    stages = cache or out / "cache"
    with _claimed(out, config), DiskCache(stages) as kept:
        # What runs beside a training for hours is told from the machine's own pace only by the pace before.
        kernel_ms = calibration_kernel_ms(DeviceLock(config.target.device), config.target.affinity)
        outcome = run(
            config,
            data_root=data_root,
            cache=kept,
            kernel_ms_at_start=kernel_ms,
            say=progress_line,
            watcher=watcher,
        )
        if outcome.artifact is not None:
            _copy(outcome.artifact, out, ("model.onnx", "input_spec.json"))
            keys = {stage.name: stage.key for stage in outcome.stages}
            weights = next(keys[name] for name in WEIGHT_STAGES if name in keys)
            _copy(stages / weights, out, ("model.safetensors", "plan.json"))
    if violations := broken(limits, outcome.metrics, trusted=outcome.latency_trusted):
        violations |= outcome.violations
        outcome = dataclasses.replace(outcome, status="infeasible", violations=violations)
    write_json(out / "trial.json", summary(outcome))
    return outcome


def claim(out: Path, config: TrialConfig) -> None:
    """Note in folder `out` that it is for `config`; a note that nothing was computed for gives way.

    Raises:
        ConfigError: it holds another trial, or something else.
    """
    asked_file = out / "config.json"
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        noted = _noted(asked_file)
        if noted is None or (noted != config and not _is_bare(out)):
            raise ConfigError(f"--out {out} holds something else; name a new folder")
    write_json(asked_file, config.to_dict())


@contextmanager
def _claimed(out: Path, config: TrialConfig) -> Iterator[None]:
    """`out` is for `config`; where the block fails before anything was computed, nothing of it is left."""
    absent = [folder for folder in (out, *out.parents) if not folder.exists()]
    claim(out, config)
    try:
        yield
    except Exception:
        if _is_bare(out):
            for entry in out.iterdir():
                remove_tree(entry)
            with suppress(OSError):  # another command has put something there
                for folder in absent:
                    folder.rmdir()
        raise


def summary(outcome: TrialOutcome) -> dict[str, Any]:
    """Plain values of an outcome, without the folder it lies in."""
    values = dataclasses.asdict(outcome)
    del values["artifact"]
    return values


def _noted(path: Path) -> TrialConfig | None:
    # Settings that came later than the file are at their defaults there.
    try:
        return TrialConfig.from_dict(read_json(path))
    except (OSError, ValueError, TypeError, ConfigError):
        return None


def _is_bare(out: Path) -> bool:
    """Whether `out` holds only what a command leaves that was refused before it computed anything."""
    files = (path.relative_to(out) for path in out.rglob("*") if not path.is_dir())
    return all(any(file.match(left) for left in _OF_REFUSAL) for file in files)


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (source / name).is_file():
            write_atomic(target / name, (source / name).read_bytes())
