"""Pruning methods on the real Market-1501: ResNet-18 at 128x64, one dense network, equal finetuning.

    python -m benchmarks.pruning RUNS --data DATA --teacher 0277.xml [--only METHOD ...] [--rates 0.5 0.7 0.9]

The dense network is trained for ten epochs with a teacher; 225 identities, three in ten, are held out, and accuracy
is theirs. A slim network is finetuned for five epochs, and the dense one in the first row for as many more. Every
finished trial is skipped and an interrupted one goes on. Rows "by latency" take the latency that the same rate spread
evenly would have. Writes results/pruning-<device>.json and
docs/images/pruning-methods.png.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from benchmarks.device import write_result
from benchmarks.runs import command, run_logged, runs_parser
from reid.files import write_atomic, write_with

FIXED = {
    "backbone": "resnet18", "input_size": [128, 64], "epochs": 10, "learning_rate": 7e-4, "validation_share": 0.3,
    "validate_every": 5, "loss": "softmax+triplet+distill-similarity+5*distill-embedding", "teacher_spec": "omz",
    "scope": "grouped", "prune_epochs": 1, "finetune_epochs": 5, "finetune_learning_rate": 3.5e-4,
    "max_layer_rate": 0.95, "quantization": "fp32",
}  # fmt: skip
METHODS: dict[str, dict[str, object]] = {
    "none": {"method": "none"},
    "bafd": {"method": "bafd"},
    "plfp": {"method": "plfp"},
    "sfp": {"method": "sfp"},
    "fpgm": {"method": "fpgm"},
    "hfp": {"method": "hfp"},
    "nni-l1": {"method": "nni-l1"},
    "nni-fpgm": {"method": "nni-fpgm"},
    "random": {"method": "random"},
    "bafd, by latency": {"method": "bafd", "allocate": "latency"},
    "hfp, by latency": {"method": "hfp", "allocate": "latency"},
}
"""Settings by the name in the table."""
FIGURES = ("mAP", "rank1", "macs", "params", "latency_ms")
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "pruning-methods.png"


def run(name: str, rate: float, options: argparse.Namespace) -> dict[str, Any]:
    """One trial through the command line; its figures."""
    out: Path = options.runs / f"{name.replace(', ', '-').replace(' ', '-')}-{rate:g}"
    if not (out / "trial.json").is_file():
        call = command("trial", "--space", options.runs / "space.yaml", "--data", options.data, "--out", out)
        call += ["--cache", str(options.cache), "--set", f"prune_rate={rate}"]
        call += [part for key, value in METHODS[name].items() for part in ("--set", f"{key}={value}")]
        run_logged(call, out)
    trial = json.loads((out / "trial.json").read_text())
    return {
        **{figure: trial["metrics"][figure] for figure in FIGURES},
        "latency_trusted": trial["latency_trusted"],
        "allocation": trial["checks"].get("allocation"),
        "slim_max_abs_difference": trial["checks"].get("slim_max_abs_difference"),
        "seconds": {
            stage: sum(row["seconds"] for row in trial["curves"] if row["stage"] == stage)
            for stage in ("prune", "finetune")
        },
    }


def draw(rows: dict[str, dict[str, Any]], path: Path) -> None:
    """Accuracy over latency, a line a method."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, by_rate in rows.items():
        points = sorted(by_rate.values(), key=lambda row: row["latency_ms"])
        axes.plot(
            [row["latency_ms"] for row in points],
            [100 * row["mAP"] for row in points],
            marker="o",
            label=name,
        )
    axes.set(xlabel="latency, ms (batch 1, one thread)", ylabel="mAP on validation identities, %")
    axes.grid(alpha=0.3)
    axes.legend()
    write_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))


def main() -> None:
    parser = runs_parser(__doc__, [name for name in METHODS if name != "none"])
    parser.add_argument("--cache", type=Path, help="stages; RUNS/cache when left out")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.5, 0.7, 0.9])
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    options.cache = options.cache or options.runs / "cache"
    space = {
        "name": "pruning-methods",
        "dataset": "market1501",
        "fixed": {**FIXED, "teacher": str(options.teacher)},
        "parameters": {"prune_rate": {"float": [0.3, 0.95]}},
        "objectives": {"mAP": "maximize", "latency_ms": "minimize"},
    }
    write_atomic(options.runs / "space.yaml", yaml.safe_dump(space).encode())
    # Nothing removed: as it was trained, and finetuned as the slim ones are.
    dense = {"trained": run("none", 0.0, options), "finetuned": run("hfp", 0.0, options)}
    rows: dict[str, dict[str, Any]] = {}
    for rate in options.rates:
        for name in options.only:
            rows.setdefault(name, {})[f"{rate:g}"] = run(name, rate, options)
    write_result("pruning", {"settings": FIXED, "dense": dense, "methods": rows})
    draw(rows, PICTURE)


if __name__ == "__main__":
    main()
