"""Which loss a student learns best by: ResNet-18 at 128x64 from nothing, ten epochs, 225 identities held out.

    python -m benchmarks.recipes RUNS --data DATA --teacher 0277.xml [--only NAME ...]

Run from the repository; finished runs are skipped and interrupted ones go on. Accuracy is that of the held-out
identities of Market-1501. Writes results/recipes-<device>.json.
"""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.device import earlier_result, write_result
from benchmarks.runs import command, run_logged, runs_parser

COMMON = [
    "--backbone", "resnet18", "--input-size", "128x64", "--validation-share", "0.3", "--validate-every", "5",
    "--epochs", "10", "--teacher-spec", "omz",
]  # fmt: skip
ADAM = ["--learning-rate", "7e-4"]
RECIPES = {
    "base": ["--loss", "softmax+triplet+distill-similarity", *ADAM],
    "pure": ["--loss", "distill-similarity+5*distill-embedding", *ADAM],
    "both": ["--loss", "softmax+triplet+distill-similarity+5*distill-embedding", *ADAM],
    "both15": ["--loss", "softmax+triplet+distill-similarity+15*distill-embedding", *ADAM],
    "pure-adamw": [
        "--loss", "distill-similarity+5*distill-embedding", "--learning-rate", "1e-3", "--optimizer", "adamw",
        "--weight-decay", "0.1",
    ],
}  # fmt: skip


def main() -> None:
    compare_recipes("recipes", runs_parser(__doc__, RECIPES).parse_args(), COMMON, RECIPES)


def compare_recipes(
    result: str, options: argparse.Namespace, common: list[str], recipes: Mapping[str, list[str]]
) -> None:
    """Train by each recipe that is asked for: accuracy on the held-out identities, at the end and on the way.

    Others that the result file holds by the same common settings stay there.
    """
    options.runs.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for name in options.only:
        out = options.runs / name
        if not (out / "trial.json").is_file():
            call = command("train", "--data", options.data, "--out", out, "--cache", options.runs / "cache")
            call += [*common, *recipes[name], "--teacher", str(options.teacher)]
            run_logged(call, out)
        trial = json.loads((out / "trial.json").read_text())
        found[name] = {
            "settings": recipes[name],
            **{figure: round(trial["metrics"][figure], 4) for figure in ("mAP", "rank1")},
            "mAP_by_epoch": {
                row["epoch"] + 1: round(row["val_mAP"], 4)
                for row in trial["curves"]
                if row.get("val_mAP") is not None
            },
        }
    earlier = earlier_result(result)
    kept = earlier["recipes"] if earlier.get("common") == common else {}
    write_result(result, {"common": common, "recipes": {**kept, **found}})


if __name__ == "__main__":
    main()
