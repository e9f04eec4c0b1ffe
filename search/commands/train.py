"""`reid-pareto train`: the dense baseline alone."""

from pathlib import Path
from typing import Annotated

import typer

from reid.config import TrialConfig
from reid.data import dataset_name
from search.console import out as console
from search.console import print_json
from search.options import parse_size
from search.single import run_single, summary

__all__ = ["train"]

_DEFAULTS = TrialConfig()


def train(
    data: Annotated[Path, typer.Option(help="Prepared dataset, see `reid-pareto data prepare`.")],
    out: Annotated[Path, typer.Option(help="New folder for weights, ONNX file and figures.")],
    backbone: Annotated[str, typer.Option(help="Network by name.")] = _DEFAULTS.backbone,
    weights: Annotated[str | None, typer.Option(help="State dict to start from.")] = None,
    input_size: Annotated[str, typer.Option(help="HEIGHTxWIDTH in pixels.")] = "128x64",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = _DEFAULTS.epochs,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = _DEFAULTS.learning_rate,
    loss: Annotated[str, typer.Option(help="Loss terms joined by +.")] = _DEFAULTS.loss,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train a dense network, export it, evaluate it on held-out identities and time it.

    Example: reid-pareto train --data DATA --backbone resnet18 --epochs 40 --out runs/resnet18
    """
    config = TrialConfig.from_dict(
        {
            "dataset": dataset_name(data),
            "backbone": backbone,
            "weights": weights,
            "input_size": parse_size(input_size),
            "epochs": epochs,
            "learning_rate": learning_rate,
            "loss": loss,
            "seed": seed,
            "method": "none",
            "prune_rate": 0.0,
        }
    )
    outcome = run_single(config, data, out)
    if json:
        print_json(summary(outcome))
        return
    metrics = outcome.metrics
    console.print(
        f"mAP {metrics['mAP']:.4f}  rank-1 {metrics['rank1']:.4f} on held-out identities; "
        f"{metrics['latency_ms']:.2f} ms, {metrics['params'] / 1e6:.2f} M parameters; in {out}"
    )
