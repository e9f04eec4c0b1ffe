"""Students of the Open Model Zoo's 0277 on the real Market-1501, trained and evaluated by the command line.

Run from the repository; every finished student is skipped and an interrupted one goes on:
    python -m benchmarks.market_training RUNS --data DATA --weights OSNET.pth --teacher 0277.xml [--only NAME ...]

Selection, if any, is on held-out identities (5 % of those of the training set); the test split is looked at once,
at the end.
"""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.device import device_slug, write_result
from benchmarks.runs import command, run_logged, runs_parser

TAUGHT = "softmax+triplet+distill-similarity+5*distill-embedding"
COMMON = ["--validation-share", "0.05", "--ema-decay", "0.996", "--ema-start", "0.8", "--validate-every", "5"]
OSNET = [
    "--backbone",
    "osnet_x0_25",
    "--weights",
    "{weights}",
    "--learning-rate",
    "7e-4",
    "--warmup-epochs",
    "1",
]
RESNET = [
    "--backbone",
    "resnet18",
    "--input-size",
    "128x64",
    "--learning-rate",
    "7e-4",
    "--warmup-epochs",
    "5",
]
TEACHER = ["--teacher", "{teacher}", "--teacher-spec", "omz"]
WITH_TEACHER = ["--loss", TAUGHT, *TEACHER]
STUDENTS = {
    "osnet-x025-160x64": [*OSNET, *WITH_TEACHER, "--input-size", "160x64", "--epochs", "24"],
    "osnet-x025-128x64": [*OSNET, *WITH_TEACHER, "--input-size", "128x64", "--epochs", "24"],
    "osnet-x025-256x128": [*OSNET, *WITH_TEACHER, "--input-size", "256x128", "--epochs", "12"],
    # From nothing, the teacher has more to say (benchmarks.recipes).
    "resnet18-128x64-taught": [
        *RESNET,
        "--loss",
        "softmax+triplet+distill-similarity+15*distill-embedding",
        *TEACHER,
        "--epochs",
        "40",
    ],
    "resnet18-128x64-alone": [*RESNET, "--loss", "softmax+triplet", "--epochs", "40"],
}


def train(name: str, run: Path, options: argparse.Namespace) -> None:
    """Train one student; the log of every attempt goes to RUNS/NAME.log."""
    values = {"weights": options.weights, "teacher": options.teacher}
    settings = [part.format(**values) for part in STUDENTS[name]]
    call = command(
        "train", "--data", options.data, "--out", run, "--cache", run.parent / "cache", *COMMON, *settings
    )
    run_logged(call, run)


def figures(run: Path, data: Path) -> dict[str, Any]:
    """Test-split accuracy of the exported file, its latency, and what the training took."""
    call = command("evaluate", run, "--data", data, "--json")
    test = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    trial = json.loads((run / "trial.json").read_text())
    curve = [row for row in trial["curves"] if row["stage"] == "dense"]
    return {
        "settings": STUDENTS[run.name],
        "test": {
            name: test[name] for name in ("mAP", "mAP_trapezoid", "rank1", "rank5", "rank10", "protocol")
        },
        "validation": {name: trial["metrics"][name] for name in ("mAP", "rank1")},
        "latency_ms": trial["metrics"]["latency_ms"],
        "latency_trusted": trial["latency_trusted"],
        "macs": trial["metrics"]["macs"],
        "params": trial["metrics"]["params"],
        "training_s": sum(row["seconds"] for row in curve),
        "images_per_second": [round(row["images_per_second"]) for row in curve],
    }


def main() -> None:
    parser = runs_parser(__doc__, STUDENTS)
    parser.add_argument("--weights", type=Path, required=True, help="OSNet x0.25 trained on Market-1501.")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        run = options.runs / name
        done = run / f"test-{device_slug()}.json"
        if not done.is_file():
            train(name, run, options)
            done.write_text(json.dumps(figures(run, options.data)))
    finished = {run.parent.name: run for run in sorted(options.runs.glob(f"*/test-{device_slug()}.json"))}
    write_result("market-training", {name: json.loads(path.read_text()) for name, path in finished.items()})


if __name__ == "__main__":
    main()
