"""Which loss a student learns best by, and which descent: ResNet-18 from nothing, ten epochs.

    python -m benchmarks.recipes RUNS --data DATA --teacher 0277.xml [--only NAME ...]

Losses are compared at 128x64 with 225 identities held out; descents and networks at 64x32 with 37, beside a teacher
that has seen the student's views. Run from the repository; finished runs are skipped and interrupted ones go on.
Accuracy is that of the held-out identities of Market-1501. Writes results/recipes-<device>.json.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.device import write_result
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
COMMON_OF_DESCENTS = [
    "--backbone", "resnet18", "--input-size", "64x32", "--set", "last_stride=1", "--validation-share", "0.05",
    "--validate-every", "5", "--epochs", "10", "--warmup-epochs", "2", "--teacher-spec", "omz",
    "--teacher-view", "drawn", "--loss", "softmax+triplet+distill-similarity+15*distill-embedding",
]  # fmt: skip
DESCENTS = {
    "adam-7e-4": ADAM,
    "adam-15e-4": ["--learning-rate", "1.5e-3"],
    "adam-3e-3": ["--learning-rate", "3e-3"],
    "sgd-65e-3": ["--optimizer", "sgd", "--learning-rate", "0.065"],
    "adam-7e-4-gem-ibn": [*ADAM, "--pooling", "gem", "--set", "ibn=true"],
    "adam-7e-4-pcb": [*ADAM, "--head", "pcb", "--set", "parts=4"],
}


def main() -> None:
    options = runs_parser(__doc__, [*RECIPES, *DESCENTS]).parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        out = options.runs / name
        if not (out / "trial.json").is_file():
            call = command("train", "--data", options.data, "--out", out, "--cache", options.runs / "cache")
            call += [*settings(name), "--teacher", str(options.teacher)]
            run_logged(call, out)
    write_result(
        "recipes",
        {
            "common": COMMON,
            "common_of_descents": COMMON_OF_DESCENTS,
            "recipes": {name: figures(options.runs / name) for name in options.only if name in RECIPES},
            "descents": {name: figures(options.runs / name) for name in options.only if name in DESCENTS},
        },
    )


def settings(name: str) -> list[str]:
    """Options of `reid-pareto train` for one run."""
    if name in RECIPES:
        return [*COMMON, *RECIPES[name]]
    return [*COMMON_OF_DESCENTS, *DESCENTS[name]]


def figures(run: Path) -> dict[str, Any]:
    """Accuracy on the held-out identities, at the end and on the way."""
    trial = json.loads((run / "trial.json").read_text())
    return {
        "settings": (RECIPES | DESCENTS)[run.name],
        **{figure: round(trial["metrics"][figure], 4) for figure in ("mAP", "rank1")},
        "mAP_by_epoch": {
            row["epoch"] + 1: round(row["val_mAP"], 4)
            for row in trial["curves"]
            if row.get("val_mAP") is not None
        },
    }


if __name__ == "__main__":
    main()
