"""`reid-pareto evaluate`: retrieval accuracy of an exported file, a package or a bare state dict."""

from pathlib import Path
from typing import Annotated, Any

import typer

from reid.config import Target
from reid.data import dataset_name, load_dataset, split_validation
from reid.errors import ConfigError
from reid.evaluate import RankingResult
from reid.steps.score import metrics_of, score_file, score_weights
from search.console import out as console
from search.console import print_json
from search.options import parse_size

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[Path, typer.Argument(help="ONNX file, package, RUN folder, or state dict.")],
    data: Annotated[Path, typer.Option(help="Prepared dataset.")],
    backbone: Annotated[str | None, typer.Option(help="Network of a bare state dict.")] = None,
    input_size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of a bare state dict.")] = "256x128",
    split: Annotated[str, typer.Option(help="test, or validation as a study splits it.")] = "test",
    validation_share: Annotated[float, typer.Option(help="Share held out, for --split validation.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the validation split.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads that embed.")] = 2,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Embed query and gallery with the file itself and rank them: mAP and CMC, protocol stated.

    Example: reid-pareto evaluate PACKAGE --data DATA
    """
    dataset = load_dataset(dataset_name(data), data)
    if split == "test":
        query, gallery = dataset.query, dataset.gallery
    elif split == "validation":
        held_out = split_validation(dataset, validation_share, seed)
        query, gallery = held_out.val_query, held_out.val_gallery
    else:
        raise ConfigError(f"--split must be test or validation, got {split!r}")
    path = model / "model.onnx" if model.is_dir() else model
    if path.suffix == ".onnx":
        target = Target(threads=threads, batch=32)
        ranking = score_file(path, target, dataset.root, query, gallery)
    elif backbone is None:
        raise ConfigError(f"{model} is no ONNX file or package; a bare state dict needs --backbone")
    else:
        ranking = score_weights(path, backbone, parse_size(input_size), dataset.root, query, gallery)
    _answer(ranking, split, json)


def _answer(ranking: RankingResult, split: str, json: bool) -> None:
    values: dict[str, Any] = {"split": split, "protocol": ranking.protocol, **metrics_of(ranking)}
    values |= {"queries": ranking.num_queries, "skipped": ranking.num_skipped}
    if json:
        print_json(values)
        return
    console.print(
        f"mAP {ranking.mAP:.4f} (trapezoid {ranking.mAP_trapezoid:.4f})  "
        f"rank-1 {ranking.rank1:.4f}  rank-5 {ranking.rank5:.4f}  rank-10 {ranking.rank10:.4f}"
    )
    console.print(
        f"{split} split, {ranking.num_queries} queries, {ranking.num_skipped} without a match; {ranking.protocol}"
    )
