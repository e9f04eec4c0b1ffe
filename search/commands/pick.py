"""`reid-pareto pick`: one trial of a study becomes a folder that runs on the target."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from reid.config import Target
from reid.errors import ConfigError
from reid.runtime import open_artifact
from results.layout import artifact_folder
from results.package import build_package
from results.pick import Choice
from results.pick import pick as choose
from results.reason import compare
from results.record import Record
from results.reference import Embed
from results.study import Study, open_study
from search.console import out as console
from search.console import print_json
from search.figures import figure_text

__all__ = ["describe_choice", "parse_limits", "pick"]

_SHOWN = ("rank1", "latency_ratio", "size_bytes")


def pick(
    study: Annotated[Path, typer.Argument(help="Folder of the study.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make; it must not exist.")],
    maximum: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="METRIC=VALUE", help="Largest value, e.g. latency_ms=5; repeatable."),
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="METRIC=VALUE", help="Smallest value, e.g. mAP=0.7; repeatable."),
    ] = None,
    max_drop: Annotated[
        list[str] | None,
        typer.Option("--max-drop", metavar="METRIC=VALUE", help="Largest loss against the baseline."),
    ] = None,
    trial: Annotated[int | None, typer.Option(help="Number of the trial, instead of limits.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the choice as JSON.")] = False,
) -> None:
    """Choose a trial and package it: within a latency the most accurate, within an accuracy the fastest.

    Without a limit the knee of the front is taken. Only validation figures decide.

    Example: reid-pareto pick runs/market --max latency_ms=5 --max-drop mAP=0.02 --out packages/door-camera
    """
    opened = open_study(study)
    choice = choose(
        opened,
        maximum=parse_limits(maximum or (), "--max"),
        minimum=parse_limits(minimum or (), "--min"),
        max_drop=parse_limits(max_drop or (), "--max-drop"),
        trial=trial,
    )
    build_package(opened, choice.record, out, embed=_embedder(opened, choice.record))
    if json:
        print_json(describe_choice(choice, out))
    else:
        _show(choice, opened, out)


def parse_limits(texts: Sequence[str], option: str) -> dict[str, float]:
    """Metric -> value out of `metric=value` texts.

    Raises:
        ConfigError: a text is not of that form, its value is no number, or a metric stands twice.
    """
    limits: dict[str, float] = {}
    for text in texts:
        metric, _, value = (part.strip() for part in text.partition("="))
        try:
            number = float(value)
        except ValueError:
            raise ConfigError(f"{option} takes METRIC=VALUE such as latency_ms=5, got {text!r}") from None
        if metric in limits:
            raise ConfigError(f"{option} {metric} is given twice; keep one")
        limits[metric] = number
    return limits


def describe_choice(choice: Choice, package: Path) -> dict[str, Any]:
    """What `pick --json` prints, as plain values."""
    return {
        "trial": choice.record.number,
        "reason": choice.reason,
        "metrics": choice.record.metrics,
        "params": choice.record.params,
        "runners_up": [
            {"trial": runner.record.number, "trade": runner.trade, "metrics": runner.record.metrics}
            for runner in choice.runners_up
        ],
        "prices": [
            {"limit": price.wish, "trial": price.record.number, "gain": price.gain} for price in choice.prices
        ],
        "package": str(package),
    }


def _embedder(study: Study, record: Record) -> Embed:
    # Opened at the call, which comes after the hashes of the artifact were checked.
    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        target = Target.from_dict(record.config.get("target", {}))
        return open_artifact(artifact_folder(study.path, record.number), target).embed(images)

    return embed


def _show(choice: Choice, study: Study, package: Path) -> None:
    metrics = choice.record.metrics
    names = [name for name in (*study.objectives, *_SHOWN) if name in metrics]
    lines = [choice.reason, f"  {', '.join(f'{name} {figure_text(name, metrics[name])}' for name in names)}"]
    if study.baseline is not None and all(name in study.baseline.metrics for name in study.objectives):
        lines.append(f"  baseline: {compare(study.baseline, choice.record, study.objectives)}")
    lines += [f"  next: trial {runner.record.number}, {runner.trade}" for runner in choice.runners_up]
    lines += [f"  without {p.wish}: trial {p.record.number}, {p.gain}" for p in choice.prices]
    lines += [f"package: {package}", f"check it anywhere with: reid-pareto verify {package}"]
    for line in lines:
        console.print(line, markup=False)
