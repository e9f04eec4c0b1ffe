"""Make the chosen trial a folder that runs on its target and can be checked there."""

import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import uuid4

import yaml

from reid.errors import ConfigError, ResourceError, UnverifiedError
from reid.files import read_json, remove_tree, sync_folder, write_atomic, write_json, write_with
from results.card import model_card
from results.package_manifest import write_package_manifest
from results.record import BASELINE_NUMBER, Record
from results.reference import Embed, write_reference
from results.retimed import timing_machine
from results.study import Study

__all__ = [
    "PROGRAM",
    "assemble",
    "build_package",
    "demand_new",
    "figures_on_test",
    "program",
    "requirements",
    "without_places",
]

PROGRAM = "embed.py"
"""Name of the program that every package carries."""

_SCHEMA = 1
_FROM_ARTIFACT = ("model.onnx", "input_spec.json")
_LEAST_VERSIONS = {
    "onnxruntime": "1.22", "openvino": "2025.0", "torch": "2.13", "executorch": "1.5", "numpy": "2.0", "pillow": "11",
}  # fmt: skip
_PACKAGES = {
    "torchscript": ("torch",),
    "torchscript-qnnpack": ("torch",),
    # Its package leaves torch, whose tensors it takes, to whoever installs it.
    "executorch": ("executorch", "torch"),
}
# What may be told of the machine: names of hosts and users stay behind.
_DEVICE_KEYS = ("device", "cpu", "gpu", "cores")
_HOST = "host"


def build_package(study: Study, record: Record, out: Path, *, embed: Embed) -> Path:
    """Write the package of a trial, all at once; the same trial gives the same bytes.

    The folder holds model.onnx, input_spec.json, metrics.json, model_card.md, reproduce.yaml, reference.json,
    embed.py, requirements.txt and manifest.json; no path of this machine, nothing of its environment, nothing of
    the dataset.

    Args:
        study: where the trial lies; its artifact's hashes are checked first.
        record: the trial.
        out: folder to make; it must not exist.
        embed: (N, H, W, 3) uint8 RGB -> (N, D) float32 through the trial's artifact; it is called after the
            artifact's hashes were checked.

    Returns:
        `out`.

    Raises:
        ConfigError: `out` exists, or the trial has no artifact.
        UnverifiedError: the artifact differs from its hashes or lacks a file.
        ArtifactError: the network gives no usable embeddings.
        ResourceError: the folder cannot be written; nothing is left behind.
    """
    if record.artifact is None:
        raise ConfigError(f"trial {record.number} kept no artifact and cannot be packaged; pick another")
    return assemble(out, lambda work: _fill(work, study, record, study.artifact(record.number), embed))


def demand_new(out: Path) -> None:
    """Refuse a place that holds anything.

    Raises:
        ConfigError: it does.
    """
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} exists already: give --out a new folder, or remove it")


def assemble(out: Path, fill: Callable[[Path], None]) -> Path:
    """Make a package's folder all at once: what `fill` leaves, its manifest, or nothing.

    Args:
        out: folder to make; it must not exist.
        fill: writes every file but the manifest into the folder that it is given.

    Returns:
        `out`.

    Raises:
        ConfigError: `out` exists.
        ResourceError: the folder cannot be written; nothing is left behind.
    """
    demand_new(out)
    work = out.with_name(f".{out.name}.{uuid4().hex[:8]}.tmp")
    try:
        fill(work)
        write_package_manifest(work)
        sync_folder(work)
        os.rename(work, out)
        sync_folder(out.parent)
    except OSError as error:
        raise ResourceError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        if work.exists():
            remove_tree(work)
    return out


def program() -> bytes:
    """The program that this version puts into packages."""
    return (resources.files("results") / "templates" / PROGRAM).read_bytes()


def requirements(runtime: str) -> str:
    """What the program of a package needs, as pip reads it.

    Args:
        runtime: that the package's network is made for.
    """
    names = (*_PACKAGES.get(runtime, (runtime,)), "numpy", "pillow")
    return "".join(f"{name}>={_LEAST_VERSIONS[name]}\n" for name in names)


def figures_on_test(fact: Mapping[str, Any] | None) -> dict[str, float]:
    """The figures of a fact about the test split, whether they stand in it plainly or under "metrics"."""
    metrics = (fact or {}).get("metrics", fact or {})
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def without_places(value: Any) -> Any:
    """Plain values without names of hosts, in which every absolute path is cut down to its last part."""
    if isinstance(value, Mapping):
        return {key: without_places(item) for key, item in value.items() if key != _HOST}
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if isinstance(value, str):
        for flavour in (PurePosixPath, PureWindowsPath):
            if flavour(value).is_absolute():
                return flavour(value).name
    return value


def _fill(work: Path, study: Study, record: Record, artifact: Path, embed: Embed) -> None:
    for name in _FROM_ARTIFACT:
        _copy(artifact / name, work / name)
    config = without_places(record.config)
    test = study.test_record(record.number)
    write_json(work / "metrics.json", _metrics(study, record, test, config))
    write_atomic(work / "reproduce.yaml", _reproduction(study, record, config))
    write_atomic(
        work / "model_card.md",
        model_card(
            record=record,
            baseline=study.baseline,
            test=figures_on_test(test),
            baseline_test=figures_on_test(study.test_record(BASELINE_NUMBER)) if test else {},
            study_name=str(study.definition.get("name", "unnamed")),
            config=config,
            device=_device(record),
        ),
    )
    write_reference(work / "reference.json", _input_size(artifact / "input_spec.json"), embed)
    write_atomic(work / PROGRAM, program())
    write_atomic(work / "requirements.txt", requirements("onnxruntime"))


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise UnverifiedError(f"{source} is missing; the trial's artifact is not whole")

    def copy(temporary: Path) -> None:
        shutil.copyfile(source, temporary)

    write_with(target, copy)


def _metrics(
    study: Study, record: Record, test: Mapping[str, Any] | None, config: Mapping[str, Any]
) -> dict[str, Any]:
    baseline = study.baseline
    return {
        "schema": _SCHEMA,
        "trial": record.number,
        "study": study.definition.get("name"),
        "protocol": record.protocol,
        "validation": record.metrics,
        "baseline_validation": baseline.metrics if baseline else None,
        "test": without_places(test),
        "latency_trusted": record.latency_trusted,
        "target": config.get("target"),
        "device": _device(record),
        "checks": without_places(record.checks),
        "versions": without_places(record.versions),
        "finished_at": record.finished_at,
    }


def _device(record: Record) -> str:
    machine = timing_machine(record)
    known = [str(machine[key]) for key in _DEVICE_KEYS if machine.get(key)]
    return ", ".join(known) or "not recorded"


def _input_size(path: Path) -> tuple[int, int]:
    try:
        spec = read_json(path)
        return int(spec["height"]), int(spec["width"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnverifiedError(f"{path}: is no input specification: {error}") from error


def _reproduction(study: Study, record: Record, config: Mapping[str, Any]) -> str:
    """The trial as a space file of one point, headed by the command that runs it."""
    params = {name: config.get(name, value) for name, value in without_places(record.params).items()}
    space = {
        "name": f"trial-{record.number}",
        "dataset": config.get("dataset"),
        "fixed": {k: v for k, v in config.items() if k not in params and k not in ("dataset", "target")},
        "parameters": {name: {"choice": [value]} for name, value in params.items()},
        "objectives": dict(study.objectives),
        "target": config.get("target", {}),
    }
    settings = " ".join(f"--set {shlex.quote(f'{k}={_scalar(v)}')}" for k, v in params.items())
    head = [
        "# The trial behind this package, as a space of one point. To run it again:",
        f"#   reid-pareto trial --space reproduce.yaml --data DATA {settings} --out RUN",
    ]
    for name in ("weights", "teacher", "teacher_spec"):
        # A name such as "imagenet" or "dense" means the same everywhere; only paths were cut.
        if config.get(name) != record.config.get(name):
            head.append(f"# fixed.{name} is a file name only: put the path of your copy there.")
    return "\n".join([*head, yaml.safe_dump(space, sort_keys=False, allow_unicode=False)])


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
