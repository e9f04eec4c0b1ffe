"""What finished studies on Market-1501 found, beside what people would use instead.

    python -m benchmarks.market_study STUDY [STUDY ...] --data DATA [--logs FILE ...] [--beside NAME=FOLDER ...]

Evaluates the baseline and every member of each front on query and gallery, once, after the searches are over: nothing
is selected here. Times them in turns with dense fp32 ResNet-18 and the networks of `--beside`, folders that hold
model.onnx, as benchmarks.market_bar does. Writes results/market-study-<device>.json, and beside this file bar.png, all
fronts over the table of others, and of each study <study>.parquet, <study>.log and <study>-front.png.
"""

import argparse
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import results
from benchmarks.device import RESULTS, RESULTS_VARIABLE, one_thread, write_result
from benchmarks.market_bar import (
    RESNET18_MS,
    Point,
    draw,
    figures_of_bars,
    named_folder,
    time_beside_resnet18,
)
from reid.config import Target
from reid.data import ReIDDataset, load_dataset
from reid.export import MODEL_FILE
from reid.files import write_with
from results.cost import saved_seconds, stage_seconds
from results.front_image import write_front_png
from results.package import figures_on_test, without_places
from search.recheck import test_fact

KEPT = RESULTS if RESULTS_VARIABLE in os.environ else Path(__file__).resolve().parent
_FIGURES = ("mAP", "rank1", "latency_ms", "latency_p10_ms", "latency_p90_ms", "size_bytes", "macs")
_PATHS = ("weights", "teacher")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--logs", nargs="+", default=[], type=Path, help="what each search printed")
    parser.add_argument("--beside", nargs="+", default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    one_thread()
    studies = {folder.name: results.open_study(folder) for folder in options.studies}
    if len(studies) < len(options.studies):
        parser.error("the folders of the studies need different names")
    if len(options.logs) not in (0, len(studies)):
        parser.error("--logs: one for each study")
    fronts = {name: front_on_test(study, options.data) for name, study in studies.items()}
    files = {
        label(name, row["trial"]): studies[name].artifact(row["trial"]) / MODEL_FILE
        for name, rows in fronts.items()
        for row in rows
    }
    others = {other: folder / MODEL_FILE for other, folder in map(named_folder, options.beside)}
    timed = time_beside_resnet18(files | others)
    ours = [
        point(row, timed[label(name, row["trial"])]["times_resnet18"])
        for name, rows in fronts.items()
        for row in rows
    ]
    found = {name: {**figures_of(study), "front": fronts[name]} for name, study in studies.items()}
    write_result("market-study", {"studies": found, **figures_of_bars(ours), "in_turns": timed})
    draw(ours, KEPT / "bar.png")
    for name, study in studies.items():
        keep(study, name)
    for name, log in zip(studies, options.logs, strict=False):
        shutil.copyfile(log, KEPT / f"{name}.log")


def front_on_test(study: results.Study, data: Path) -> list[dict[str, Any]]:
    """The baseline and the members of the front, with their figures on the test split."""
    dataset = load_dataset(study.definition["dataset"]["name"], data)
    records = [record for record in (study.baseline, *study.front()) if record is not None]
    return [{**row_of(record), "test": on_test(study, record.number, dataset)} for record in records]


def keep(study: results.Study, name: str) -> None:
    """Table and picture of a study, to be read without it."""
    write_with(KEPT / f"{name}.parquet", lambda path: pq.write_table(without_paths(study.table()), path))
    write_front_png(study, KEPT / f"{name}-front.png")


def on_test(study: results.Study, number: int, dataset: ReIDDataset) -> dict[str, float]:
    """Figures of a trial's file on the test split; those that the study knows are not taken again."""
    if not (known := figures_on_test(study.test_record(number))):
        fact = test_fact(study.artifact(number), Target(), dataset)
        results.commit_fact(study, number, "test", fact)
        known = figures_on_test(fact)
    return {name: round(value, 4) for name, value in known.items()}


def label(study: str, number: int) -> str:
    """How a trial is called in tables."""
    return f"{study}, {'baseline' if number < 0 else f'trial {number}'}"


def row_of(record: results.Record) -> dict[str, Any]:
    """What is worth printing of a record."""
    metrics = {name: float(f"{record.metrics[name]:.5g}") for name in _FIGURES if name in record.metrics}
    chosen = {name: record.config[name] for name in ("input_size", "quantization")}
    return {"trial": record.number, "chosen": chosen, "validation_and_cost": metrics}


def point(row: dict[str, Any], times_resnet18: float) -> Point:
    """A row of the front as a point beside the table."""
    size = "x".join(map(str, row["chosen"]["input_size"]))
    return Point(
        f"{size} {row['chosen']['quantization']}",
        row["test"]["rank1"],
        row["test"]["mAP"],
        RESNET18_MS / times_resnet18,
    )


def figures_of(study: results.Study) -> dict[str, Any]:
    """What became of the trials, and what they cost."""
    records = study.records()
    everything = [record for record in (study.baseline, *records) if record is not None]
    return {
        "began": min(record.started_at for record in everything),
        "ended": max(record.finished_at for record in everything),
        "trials": dict(Counter(record.status for record in records)),
        "trusted_latencies": sum(record.latency_trusted for record in records),
        "stage_seconds": {stage: round(took, 1) for stage, took in stage_seconds(records).items()},
        "saved_by_cache_seconds": round(saved_seconds(records), 1),
    }


def without_paths(table: pa.Table) -> pa.Table:
    """The table without the machine's paths and host."""
    configs = [json.loads(text) for text in table["config"].to_pylist()]
    for config in configs:
        config.update({key: Path(config[key]).name for key in _PATHS if config.get(key)})
    checks = [without_places(json.loads(text)) for text in table["checks"].to_pylist()]
    for name, values in (("config", configs), ("checks", checks)):
        shown = pa.array([json.dumps(value) for value in values])
        table = table.set_column(table.schema.get_field_index(name), name, shown)
    return table.drop_columns(["worker"])


if __name__ == "__main__":
    main()
