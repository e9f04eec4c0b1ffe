"""What a finished study on Market-1501 found: its front on the test split, what it cost, its table and picture.

    python -m benchmarks.market_study STUDY --data DATA --package PACKAGE

Evaluates the baseline, every member of the front and the picked package on query and gallery (minutes), after the
search is over: nothing is selected here. Writes results/<study>-<device>.json, results/<study>.parquet and
docs/images/<study>-front.png.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import results
from benchmarks.device import RESULTS, write_result
from reid.config import Target
from reid.data import load_dataset
from reid.files import write_with
from reid.steps.score import metrics_of, score_file
from results.cost import saved_seconds, stage_seconds
from results.front_image import write_front_png

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--package", type=Path, required=True)
    options = parser.parse_args()
    study = results.open_study(options.study)
    name = options.study.name
    dataset = load_dataset(study.definition["dataset"]["name"], options.data)

    def on_test(model: Path) -> dict[str, float]:
        ranking = score_file(model, Target(), dataset.root, dataset.query, dataset.gallery)
        return {name: round(value, 4) for name, value in metrics_of(ranking).items()}

    records, baseline = study.records(), study.baseline
    assert baseline is not None
    rows = []
    for record in (baseline, *study.front()):
        test = on_test(study.artifact(record.number) / "model.onnx")
        if study.test_record(record.number) is None:
            results.commit_fact(study, record.number, "test", test)
        rows.append({**row_of(record), "test": test})
    figures: dict[str, Any] = {
        "trials": dict(Counter(record.status for record in records)),
        "trusted_latencies": sum(record.latency_trusted for record in records),
        "hypervolume": study.hypervolume(),
        "baseline": rows[0],
        "front": rows[1:],
        "picked": {"trial": picked_number(options.package), "test": on_test(options.package / "model.onnx")},
        "stage_seconds": {k: round(v, 1) for k, v in stage_seconds(records).items()},
        "saved_by_cache_seconds": round(saved_seconds(records), 1),
    }
    write_result(name, figures)
    write_with(RESULTS / f"{name}.parquet", lambda path: pq.write_table(without_paths(study.table()), path))
    IMAGES.mkdir(parents=True, exist_ok=True)
    write_front_png(study, IMAGES / f"{name}-front.png")


def row_of(record: results.Record) -> dict[str, Any]:
    """What is worth printing of a record."""
    kept = (
        "mAP",
        "rank1",
        "latency_ms",
        "latency_p10_ms",
        "latency_p90_ms",
        "latency_ratio",
        "size_bytes",
        "macs",
    )
    metrics = {name: float(f"{record.metrics[name]:.5g}") for name in kept if name in record.metrics}
    return {"trial": record.number, "params": record.params, "validation_and_cost": metrics}


def picked_number(package: Path) -> int:
    """The trial that a package was made of."""
    return int(json.loads((package / "metrics.json").read_text())["trial"])


def without_paths(table: pa.Table) -> pa.Table:
    """The table without the machine's paths and host."""
    configs = [json.loads(text) for text in table["config"].to_pylist()]
    for config in configs:
        if config.get("weights"):
            config["weights"] = Path(config["weights"]).name
    index = table.schema.get_field_index("config")
    return table.set_column(index, "config", pa.array([json.dumps(c) for c in configs])).drop_columns(
        ["worker"]
    )


if __name__ == "__main__":
    main()
