"""What the stage cache and latency first spare: one study, and the same trials without either, really trained.

python -m benchmarks.economy [--trials 32] [--work FOLDER]    writes results/economy-<device>.json

Both studies run on generated pedestrians with the same seed and the random sampler, so that they ask for the same
trials; a trial breaks the limit on latency in both, but only the first finds that out before it trains. The limit is
on the ratio to the baseline. In the end every distinct file is timed again, in turns with the baseline, and the two
fronts are taken from these ratios: equal files have one latency, however the machine ran hours apart. FOLDER keeps the
studies; the same command goes on with them.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.device import one_thread, write_result
from results import Record, Study
from search.contact import Contact
from search.jobs import Job

LIMIT = 0.31
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


def study(folder: Path, data: Path, trials: int, function: str) -> Study:
    """Run one of the two."""
    import spaces
    from reid.data import load_dataset
    from search.jobs import Resources
    from search.opening import Data
    from search.session import search

    limits = [f"latency_ratio <= {LIMIT}"]
    space = spaces.parse_space({**spaces.load("demo").to_dict(), "limits": limits}, "economy")
    fingerprint = load_dataset("synthetic", data).fingerprint
    return search(
        folder,
        space,
        Data(name="synthetic", root=data, fingerprint=fingerprint),
        trials=trials,
        sampler="random",
        resources=Resources(gpus_per_trial=0),
        function=function,
    )


def figures(done: Study) -> dict[str, Any]:
    """Training seconds, front and outcomes of a finished study."""
    from results.cost import lost_seconds, saved_seconds, stage_seconds

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
        "front_by_own_timings": sorted(record.number for record in done.front()),
        "mAP": {str(number): record.metrics["mAP"] for number, record in complete(done).items()},
        "latency_ratio": {str(r.number): r.metrics.get("latency_ratio") for r in records},
    }


def complete(done: Study) -> dict[int, Record]:
    """Complete trials by number."""
    return {record.number: record for record in done.records() if record.status == "complete"}


def files_of(done: Study) -> dict[int, str]:
    """Hash of each complete trial's exported file."""
    from reid.files import sha256_of

    return {number: sha256_of(done.artifact(number) / "model.onnx") for number in complete(done)}


def ratios_of_files(studies: Sequence[Study]) -> dict[str, float]:
    """Hash of each distinct file -> its latency over the baseline's of the first study, both taken in turns."""
    import numpy as np

    from reid.config import Target
    from reid.runtime import open_artifact
    from reid.timing import DeviceLock, compare
    from results.record import BASELINE_NUMBER

    folders = {h: study.artifact(number) for study in studies for number, h in files_of(study).items()}
    dense = open_artifact(studies[0].artifact(BASELINE_NUMBER) / "model.onnx", Target()).timer()
    found = {}
    for file, folder in folders.items():
        run = open_artifact(folder / "model.onnx", Target()).timer()
        rounds = compare([run, dense], lock=DeviceLock("cpu")).rounds_ms
        found[file] = float(np.median(rounds[0] / rounds[1]))
    return found


def front_by(done: Study, ratio_of_file: dict[str, float]) -> dict[str, Any]:
    """The front of a study where each file has one latency, whenever it was exported."""
    from results.front import pareto_front

    ratios = {number: ratio_of_file[file] for number, file in files_of(done).items()}
    points = [(done.record(number).metrics["mAP"], ratio) for number, ratio in ratios.items()]
    best = pareto_front(points, ["maximize", "minimize"])
    front = [number for number, wanted in zip(ratios, best, strict=True) if wanted]
    return {"retimed_ratio": {str(number): ratio for number, ratio in ratios.items()}, "front": front}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--work", type=Path, help="keeps the studies")
    given = parser.parse_args()
    one_thread()
    from reid.data.prepare import prepare_synthetic
    from reid.data.synthetic import SyntheticOptions

    root = given.work or Path(tempfile.mkdtemp(prefix="economy-"))
    if not (root / "data").exists():
        prepare_synthetic(SyntheticOptions(identities=24, test_identities=8), root / "data")
    one = study(root / "with", root / "data", given.trials, "search.trial:run")
    other = study(root / "without", root / "data", given.trials, "benchmarks.economy:without")
    found = {"with": figures(one), "without": figures(other)}
    ratio_of_file = ratios_of_files((one, other))
    found["with"] |= front_by(one, ratio_of_file)
    found["without"] |= front_by(other, ratio_of_file)
    spent, alone = found["with"], found["without"]
    files, others = files_of(one), files_of(other)
    shared = files.keys() & others.keys()
    write_result(
        "economy",
        {
            "trials": given.trials,
            "limit": f"latency_ratio <= {LIMIT}",
            "same_trials": [r.params for r in one.records()] == [r.params for r in other.records()],
            "other_outcome": [
                number
                for number in range(given.trials)
                if one.record(number).status != other.record(number).status
            ],
            "complete_in_both": len(shared),
            "same_files": all(files[number] == others[number] for number in shared),
            "same_front": spent["front"] == alone["front"],
            "largest_difference_in_mAP": max(
                abs(spent["mAP"][str(n)] - alone["mAP"][str(n)]) for n in shared
            ),
            **{
                f"without_over_with_{name}": alone[name] / spent[name]
                for name in ("training_s", "training_processor_s", "all_stages_s")
            },
            **found,
        },
    )


if __name__ == "__main__":
    main()
