"""Students of the Open Model Zoo's 0277 on the real Market-1501, trained and evaluated by the command line.

Run from the repository; every finished student is skipped and an interrupted one goes on:
    python -m benchmarks.market_training RUNS --data DATA --weights OSNET.pth --teacher 0277.xml [--only NAME ...]

Without --only, the students that a CPU carries; those of ON_GPU, whose teacher looks on, are for a GPU, where --jobs
trains several at once.

Students of the result file that RUNS does not hold stay there. Selection, if any, is on held-out identities (5 % of
those of the training set); the test split is looked at once, at the end.
"""

import argparse
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.device import device_slug, earlier_result, write_result
from benchmarks.runs import command, run_logged, runs_parser

TAUGHT = "softmax+triplet+distill-similarity+5*distill-embedding"
# From nothing, the teacher has more to say (benchmarks.recipes).
TAUGHT_FROM_NOTHING = "softmax+triplet+distill-similarity+15*distill-embedding"
TAUGHT_MORE = "softmax+triplet+distill-similarity+30*distill-embedding"
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
# A larger last map, and the descent that learns fastest from nothing (benchmarks.descents).
STEEP = [
    "--backbone", "resnet18", "--input-size", "128x64", "--set", "last_stride=1", "--optimizer", "sgd",
    "--learning-rate", "0.065", "--warmup-epochs", "5", "--epochs", "45",
]  # fmt: skip
TEACHER = ["--teacher", "{teacher}", "--teacher-spec", "omz"]
WITH_TEACHER = ["--loss", TAUGHT, *TEACHER]
STUDENTS = {
    "osnet-x025-160x64": [*OSNET, *WITH_TEACHER, "--input-size", "160x64", "--epochs", "24"],
    "osnet-x025-128x64": [*OSNET, *WITH_TEACHER, "--input-size", "128x64", "--epochs", "24"],
    "osnet-x025-256x128": [*OSNET, *WITH_TEACHER, "--input-size", "256x128", "--epochs", "12"],
    "resnet18-128x64-taught": [
        *RESNET,
        "--loss",
        TAUGHT_FROM_NOTHING,
        *TEACHER,
        "--epochs",
        "40",
    ],
    # As taught, but the teacher has seen what the student sees.
    "resnet18-128x64-drawn": [
        *RESNET,
        "--loss",
        TAUGHT_FROM_NOTHING,
        *TEACHER,
        "--teacher-view",
        "drawn",
        "--epochs",
        "40",
    ],
    "resnet18-128x64-alone": [*RESNET, "--loss", "softmax+triplet", "--epochs", "40"],
    "resnet18-128x64-steep": [
        *STEEP,
        "--loss",
        TAUGHT_FROM_NOTHING,
        *TEACHER,
        "--teacher-view",
        "drawn",
    ],
    "resnet18-128x64-steep-more": [
        *STEEP,
        "--loss",
        TAUGHT_MORE,
        *TEACHER,
        "--teacher-view",
        "drawn",
        "--teacher-views",
        "16",
    ],
    "resnet18-128x64-steep-alone": [*STEEP, "--loss", "softmax+triplet"],
}
WATCHED = [*TEACHER, "--teacher-view", "augmented"]
WITH_LABELS = ["--loss", TAUGHT_FROM_NOTHING, *WATCHED]
BLENDED = ["--loss", "distill-similarity+15*distill-embedding", "--mixup", "0.5", *WATCHED]
ON_GPU = {
    "osnet-x025-320x160-watched": [*OSNET, *WITH_LABELS, "--input-size", "320x160", "--epochs", "100"],
    "osnet-x025-320x160-blended": [*OSNET, *BLENDED, "--input-size", "320x160", "--epochs", "100"],
    "resnet18-128x64-watched": [*RESNET, *WITH_LABELS, "--epochs", "120"],
    "resnet18-128x64-blended": [*RESNET, *BLENDED, "--epochs", "120"],
    "resnet50-256x128": [
        "--backbone", "resnet50", "--input-size", "256x128", "--learning-rate", "7e-4", "--warmup-epochs", "5",
        *WITH_LABELS, "--epochs", "60",
    ],
    "osnet-x100-256x128": [
        "--backbone", "osnet_x1_0", "--input-size", "256x128", "--learning-rate", "7e-4", "--warmup-epochs", "5",
        *WITH_LABELS, "--epochs", "60",
    ],
}  # fmt: skip


def train(name: str, run: Path, options: argparse.Namespace) -> None:
    """Train one student; the log of every attempt goes to RUNS/NAME.log."""
    values = {"weights": options.weights, "teacher": options.teacher}
    settings = [part.format(**values) for part in (STUDENTS | ON_GPU)[name]]
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
        "settings": (STUDENTS | ON_GPU)[run.name],
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
    parser = runs_parser(__doc__, STUDENTS, further=ON_GPU)
    parser.add_argument("--weights", type=Path, required=True, help="OSNet x0.25 trained on Market-1501.")
    parser.add_argument("--jobs", type=int, default=1, help="students trained at once")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)

    def learn(name: str) -> None:
        run = options.runs / name
        done = run / f"test-{device_slug()}.json"
        if not done.is_file():
            train(name, run, options)
            done.write_text(json.dumps(figures(run, options.data)))

    with ThreadPoolExecutor(max(1, options.jobs)) as workers:
        list(workers.map(learn, options.only))
    paths = sorted(options.runs.glob(f"*/test-{device_slug()}.json"))
    found = earlier_result("market-training") | {
        path.parent.name: json.loads(path.read_text()) for path in paths
    }
    write_result("market-training", {**found, **gains(found)})


def gains(found: dict[str, Any]) -> dict[str, float]:
    """What the teacher gave ResNet-18 over its twin without one, and what seeing the student's own views added."""
    accuracy = {
        name: found[run]["test"]["mAP"]
        for name in ("alone", "taught", "drawn", "steep", "steep-more", "steep-alone")
        if (run := f"resnet18-128x64-{name}") in found
    }
    pairs = {
        "resnet18_gain_by_teacher": ("taught", "alone"),
        "resnet18_gain_by_teacher_of_drawn_views": ("drawn", "alone"),
        "resnet18_gain_by_teacher_in_steep_descent": ("steep", "steep-alone"),
        "resnet18_gain_by_more_of_the_teacher_in_steep_descent": ("steep-more", "steep-alone"),
    }
    return {
        gain: round(accuracy[first] - accuracy[second], 4)
        for gain, (first, second) in pairs.items()
        if {first, second} <= accuracy.keys()
    }


if __name__ == "__main__":
    main()
