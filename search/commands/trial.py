"""`reid-pareto trial`: one point of a space, the whole pipeline."""

from pathlib import Path
from typing import Annotated

import typer

import spaces
from search.console import accuracy, print_json
from search.console import out as console
from search.data_home import data_or_synthetic
from search.options import parse_settings
from search.planner import absolute_limits, trial_config

__all__ = ["trial"]


def trial(
    out: Annotated[Path, typer.Option(help="New folder for the artifact and its figures.")],
    space: Annotated[str, typer.Option(help="Preset or path of a space file.")] = "demo",
    data: Annotated[Path | None, typer.Option(help="Prepared dataset; synthetic when left out.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="name=value of a parameter or fixed setting.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of stages, shared between runs.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train, prune, slim, finetune, quantize, export, evaluate and time one configuration.

    Example: reid-pareto trial --set prune_rate=0.7 --set quantization=int8-static --out runs/one
    """
    chosen = spaces.load(space)
    config = trial_config(chosen, parse_settings(settings or []))
    root = data_or_synthetic(data, config.dataset)
    # Late, because torch takes seconds to load: help and a typing error should not.
    from search.single import run_single, summary

    outcome = run_single(config, root, out, cache=cache, limits=absolute_limits(chosen))
    if json:
        print_json(summary(outcome))
        return
    metrics = outcome.metrics
    console.print(
        f"{outcome.status}: {accuracy(metrics)} on held-out identities; "
        f"{metrics['latency_ms']:.2f} ms{'' if outcome.latency_trusted else ' (untrusted)'}, "
        f"{metrics['size_bytes'] / 1e6:.2f} MB; in {out}",
        markup=False,
    )
    console.print(outcome.protocol, markup=False)
    for limit, excess in outcome.violations.items():
        console.print(f"breaks {limit} by {excess:.4g}", markup=False)
    for text in chosen.parsed_limits():
        if text.relative or text.metric not in metrics:
            console.print(f"not judged, for want of a baseline: {text.text}", markup=False)
