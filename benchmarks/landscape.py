"""A landscape for the simulator from trials that really ran: the table of a study becomes a small JSON file.

Run from the repository: python -m benchmarks.landscape STUDY_OR_PARQUET --baseline 0.79,2.1 --out table.json
A study folder knows its baseline; a bare trials.parquet needs --baseline mAP,latency_ms.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from reid.files import write_json
from results import open_study
from search.simulator.landscape import Landscape

_PREFIX = "params."


def table_of(
    rows: list[dict[str, Any]], space: str, source: str, baseline: dict[str, float]
) -> dict[str, Any]:
    """What `Landscape.from_dict` reads, from the rows of a trials.parquet."""
    done = [row for row in rows if row["status"] == "complete"]
    config = json.loads(done[0]["config"])
    return {
        "space": space,
        "source": source,
        "epochs": config["prune_epochs"] + config["finetune_epochs"],
        "seconds": round(statistics.median(row["seconds"] for row in done), 1),
        "baseline": baseline,
        "trials": [
            {
                "params": {
                    key.removeprefix(_PREFIX): _value(row[key]) for key in row if key.startswith(_PREFIX)
                },
                "mAP": round(row["metrics.mAP"], 5),
                "latency_ms": round(row["metrics.latency_ms"], 5),
            }
            for row in done
        ],
    }


def _value(cell: Any) -> Any:
    return json.loads(cell) if isinstance(cell, str) and cell.startswith("[") else cell


def _read(place: Path, given: str | None) -> tuple[list[dict[str, Any]], dict[str, float]]:
    if place.is_dir():
        study = open_study(place)
        if study.baseline is None:
            raise SystemExit(f"{place} has no baseline yet")
        metrics = study.baseline.metrics
        return study.table().to_pylist(), {name: metrics[name] for name in ("mAP", "latency_ms")}
    if given is None:
        raise SystemExit("a bare table needs --baseline mAP,latency_ms")
    mean_ap, latency_ms = map(float, given.split(","))
    return pq.read_table(place).to_pylist(), {"mAP": mean_ap, "latency_ms": latency_ms}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trials", type=Path)
    parser.add_argument("--baseline", help="mAP,latency_ms of the dense network")
    parser.add_argument("--space", default="market-osnet")
    parser.add_argument("--epochs", type=int, help="in place of those the trials had")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows, baseline = _read(options.trials, options.baseline)
    table = table_of(rows, options.space, options.trials.name, baseline)
    if options.epochs is not None:
        table["epochs"] = options.epochs
    Landscape.from_dict(table, options.trials)
    write_json(options.out, table)


if __name__ == "__main__":
    main()
