"""What the stage cache and latency first spare: one study, and the same trials without either, really trained.

python -m benchmarks.economy [--trials 32]    writes results/economy-<device>.json

Both studies run on generated pedestrians with the same seed and the random sampler, so that they ask for the same
trials; a trial breaks the limit on latency in both, but only the first finds that out before it trains. Where the files
of both are the same to the byte, so are their fronts, whatever a machine that is not quiet makes of their latencies.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.device import write_result
from search.contact import Contact
from search.jobs import Job

LIMIT = 0.35
TRAINING = ("dense", "prune", "finetune")


def without(job: Job, contact: Contact) -> dict[str, Any]:
    """A trial that shares nothing with others, and is told of no limit before it ends."""
    from search.trial import run

    if job.number < 0:
        return run(job, contact)
    alone = job.work / "alone"
    payload = {**job.payload, "study": str(alone), "limits": []}
    return run(Job(**{**_fields(job), "payload": payload}), contact)


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in ("number", "attempt", "function", "work", "payload")}


def study(folder: Path, data: Path, trials: int, function: str) -> dict[str, Any]:
    """Run one of the two; its training seconds, its front and its outcomes."""
    import spaces
    from reid.data import load_dataset
    from reid.files import sha256_of
    from results.cost import lost_seconds, saved_seconds, stage_seconds
    from search.jobs import Resources
    from search.opening import Data
    from search.session import search

    limits = [f"latency_ms <= {LIMIT} * baseline"]
    space = spaces.parse_space({**spaces.load("demo").to_dict(), "limits": limits}, "economy")
    fingerprint = load_dataset("synthetic", data).fingerprint
    done = search(
        folder,
        space,
        Data(name="synthetic", root=data, fingerprint=fingerprint),
        trials=trials,
        sampler="random",
        resources=Resources(gpus_per_trial=0),
        function=function,
    )
    records = done.records()
    costed = [*records, *([done.baseline] if done.baseline else [])]
    spent, processor = stage_seconds(costed), stage_seconds(costed, "cpu_seconds")
    return {
        "training_s": sum(spent.get(name, 0.0) for name in TRAINING),
        "training_processor_s": sum(processor.get(name, 0.0) for name in TRAINING),
        "all_stages_s": sum(spent.values()),
        "saved_s": saved_seconds(records),
        "lost_s": lost_seconds(records),
        "statuses": {name: sum(r.status == name for r in records) for name in {r.status for r in records}},
        "untrusted": sum(r.status == "complete" and not r.latency_trusted for r in records),
        "front": sorted(record.number for record in done.front()),
        "latency_ms": {str(r.number): r.metrics["latency_ms"] for r in records if r.status == "complete"},
        "mAP": {str(r.number): r.metrics["mAP"] for r in records if r.status == "complete"},
        "files": {
            str(r.number): sha256_of(done.artifact(r.number) / "model.onnx")
            for r in records
            if r.status == "complete"
        },
        "hypervolume": done.hypervolume(),
        "params": [record.params for record in records],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=32)
    given = parser.parse_args()
    from reid.data.prepare import prepare_synthetic
    from reid.data.synthetic import SyntheticOptions

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prepare_synthetic(SyntheticOptions(identities=24, test_identities=8), root / "data")
        found = {
            name: study(root / name, root / "data", given.trials, function)
            for name, function in (
                ("with", "search.trial:run"),
                ("without", "benchmarks.economy:without"),
            )
        }
    one, other = found["with"], found["without"]
    same_trials = one.pop("params") == other.pop("params")
    shared = one["mAP"].keys() & other["mAP"].keys()
    same_files = one.pop("files") == other.pop("files")
    write_result(
        "economy",
        {
            "trials": given.trials,
            "limit": f"latency_ms <= {LIMIT} * baseline",
            "same_trials": same_trials,
            "same_files": same_files,
            "largest_difference_in_mAP": max(abs(one["mAP"][n] - other["mAP"][n]) for n in shared),
            "without_over_with_training": other["training_s"] / one["training_s"],
            "without_over_with_training_processor": other["training_processor_s"]
            / one["training_processor_s"],
            "without_over_with_all": other["all_stages_s"] / one["all_stages_s"],
            "same_front": one["front"] == other["front"],
            **found,
        },
    )


if __name__ == "__main__":
    main()
