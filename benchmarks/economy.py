"""What the stage cache and latency first spare: one study, and the same trials without either, really trained.

python -m benchmarks.economy [--trials 32] [--work FOLDER]    writes results/economy-<device>.json

Both studies run on generated pedestrians with the same seed and the random sampler, so that they ask for the same
trials; a trial breaks the limit on latency in both, but only the first finds that out before it trains. The limit is
on the ratio to the baseline, far from that of any trial. In the end the files of each trial are timed again, those of
both studies and the baseline in turns, and the two fronts are taken from these ratios, so that they do not depend on
how quiet the machine was hours apart. FOLDER keeps the studies; the same command goes on with them.
"""

import argparse
import tempfile
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


def ratios_in_turns(one: Study, other: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    """Latency of each trial's file over the baseline's in both studies, all three taken in turns; fronts by these."""
    import numpy as np

    from reid.config import Target
    from reid.runtime import open_artifact
    from reid.timing import DeviceLock, compare
    from results.front import pareto_front
    from results.record import BASELINE_NUMBER

    studies = (one, other)
    found: list[dict[str, float]] = [{}, {}]
    untrusted = []
    for number in sorted(complete(one).keys() & complete(other).keys()):
        folders = [*(study.artifact(number) for study in studies), one.artifact(BASELINE_NUMBER)]
        runs = [open_artifact(folder / "model.onnx", Target()).timer() for folder in folders]
        timing = compare(runs, lock=DeviceLock("cpu"))
        untrusted += [] if timing.trusted else [number]
        for ratios, rounds in zip(found, timing.rounds_ms[:2], strict=True):
            ratios[str(number)] = float(np.median(rounds / timing.rounds_ms[2]))
    said = []
    for study, ratios in zip(studies, found, strict=True):
        points = [(study.record(int(name)).metrics["mAP"], ratio) for name, ratio in ratios.items()]
        best = pareto_front(points, ["maximize", "minimize"])
        front = [int(name) for name, wanted in zip(ratios, best, strict=True) if wanted]
        said.append({"retimed_ratio": ratios, "front": front, "retimed_untrusted": untrusted})
    return said[0], said[1]


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
    from reid.files import sha256_of

    root = given.work or Path(tempfile.mkdtemp(prefix="economy-"))
    if not (root / "data").exists():
        prepare_synthetic(SyntheticOptions(identities=24, test_identities=8), root / "data")
    one = study(root / "with", root / "data", given.trials, "search.trial:run")
    other = study(root / "without", root / "data", given.trials, "benchmarks.economy:without")
    found = {"with": figures(one), "without": figures(other)}
    for name, retimed in zip(found, ratios_in_turns(one, other), strict=True):
        found[name] |= retimed
    spent, alone = found["with"], found["without"]
    files = [{n: sha256_of(s.artifact(n) / "model.onnx") for n in complete(s)} for s in (one, other)]
    shared = spent["mAP"].keys() & alone["mAP"].keys()
    write_result(
        "economy",
        {
            "trials": given.trials,
            "limit": f"latency_ratio <= {LIMIT}",
            "same_trials": [r.params for r in one.records()] == [r.params for r in other.records()],
            "same_outcomes": [r.status for r in one.records()] == [r.status for r in other.records()],
            "same_files": files[0] == files[1],
            "same_front": spent["front"] == alone["front"],
            "largest_difference_in_mAP": max(abs(spent["mAP"][n] - alone["mAP"][n]) for n in shared),
            **{
                f"without_over_with_{name}": alone[name] / spent[name]
                for name in ("training_s", "training_processor_s", "all_stages_s")
            },
            **found,
        },
    )


if __name__ == "__main__":
    main()
