"""The candidates of a pick, measured once more: timed in turns, compared query by query, then tested.

Everything that decides comes from the validation identities; the test split is asked after the winner has won, and
its figures are told, not used.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.config import Target, TrialConfig
from reid.data import ReIDDataset, load_dataset, split_validation
from reid.errors import ConfigError, ReidParetoError
from reid.export import MODEL_FILE
from reid.timing import Comparison
from results import commit_fact
from results.package import figures_on_test
from results.pick import Choice
from results.record import Record, utc_now
from results.retimed import timed_on
from results.settle import Evidence, Settled, settle
from results.study import Study
from search.packages import compare_files

__all__ = ["Rechecked", "dataset_at_hand", "recheck", "test_fact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rechecked:
    """A choice that was measured again.

    Attributes:
        settled: the choice, and how the other candidates stand against it.
        tests: number of each candidate -> its figures on the test split.
        trusted: whether the timing was quiet enough to be believed.
        same_machine: whether the records' latencies come from this machine.
        doubts: why something of it is not to be relied on, one line each.
    """

    settled: Settled
    tests: Mapping[int, Mapping[str, float]]
    trusted: bool
    same_machine: bool
    doubts: tuple[str, ...]


def dataset_at_hand(study: Study, data: Path | None) -> Path | None:
    """Folder of the study's dataset: as named, else where it was; None where that is gone.

    Raises:
        ConfigError: the named folder does not exist.
    """
    if data is not None:
        if not data.is_dir():
            raise ConfigError(f"--data {data}: no such folder; name the prepared dataset of the study")
        return data
    root = Path(str(study.definition["dataset"].get("root", "")))
    return root if str(root) != "." and root.is_dir() else None


def recheck(study: Study, choice: Choice, data: Path, say: Callable[[str], None]) -> Rechecked:
    """Measure a choice and its runners-up again, settle ties, and evaluate all of them on the test split.

    New figures of each candidate are committed beside its record where there are none, as facts "retiming" (latency
    and mAP) and "test".

    Args:
        study: that the choice is from.
        choice: the first choice.
        data: the prepared dataset.
        say: told one line at each step.

    Raises:
        ConfigError: it is another dataset than the study's.
        NothingFeasible: every candidate breaks a latency limit now.
        UnverifiedError: an artifact is altered.
        DataError: an image is missing or damaged.
        NoDevice: this machine lacks the study's target; nothing was measured.
    """
    dataset = _dataset(study, data)
    candidates = [choice.record, *(runner.record for runner in choice.runners_up)]
    numbers = ", ".join(str(record.number) for record in candidates)
    folders = [study.artifact(record.number) for record in candidates]
    target = Target.from_dict(choice.record.config.get("target", {}))
    say(f"timing trials {numbers} in turns")
    timing = compare_files(folders, [target] * len(folders))
    same_machine = all(timed_on(record) == socket.gethostname() for record in candidates)
    evidence = {}
    for index, record in enumerate(candidates):
        say(f"evaluating trial {record.number} on the validation identities")
        precision = _precision(record, folders[index], target, dataset)
        evidence[record.number] = Evidence(precision=precision, rounds_ms=timing.rounds_ms[index])
    settled = settle(choice, evidence, study, trusted=timing.trusted, same_machine=same_machine)
    doubts = [] if timing.trusted else [f"the new latencies are not trusted: {timing.reason}"]
    for index, record in enumerate(candidates):
        fact = _retiming(timing, index, target) | {"mAP": float(evidence[record.number].precision.mean())}
        doubts += _keep(study, record, "retiming", fact)
    tests = {}
    for record, folder in zip(candidates, folders, strict=True):
        tests[record.number] = figures_on_test(study.test_record(record.number))
        if not tests[record.number]:
            say(f"evaluating trial {record.number} on the test split")
            fact = test_fact(folder, target, dataset)
            tests[record.number] = figures_on_test(fact)
            doubts += _keep(study, record, "test", fact)
    return Rechecked(
        settled=settled,
        tests=tests,
        trusted=timing.trusted,
        same_machine=same_machine,
        doubts=tuple(dict.fromkeys(doubts)),
    )


def _dataset(study: Study, root: Path) -> ReIDDataset:
    known = study.definition["dataset"]
    dataset = load_dataset(str(known["name"]), root)
    if dataset.fingerprint != known.get("fingerprint"):
        raise ConfigError(
            f"{root} is not the dataset that the study was run on (its fingerprint differs); name that one with "
            "--data, or pick by the records alone with --no-check"
        )
    return dataset


def _precision(record: Record, folder: Path, target: Target, dataset: ReIDDataset) -> Any:
    from reid.steps.score import score_file  # here, because torch is slow to import

    config = TrialConfig.from_dict(record.config)
    split = split_validation(dataset, config.validation_share, config.seed)
    ranking = score_file(folder / MODEL_FILE, target, dataset.root, split.val_query, split.val_gallery)
    return ranking.average_precision


def test_fact(folder: Path, target: Target, dataset: ReIDDataset) -> dict[str, Any]:
    """Figures of an artifact's folder on query and gallery, with the protocol, as the fact "test" of a trial."""
    from reid.steps.score import metrics_of, score_file  # here, because torch is slow to import

    ranking = score_file(folder / MODEL_FILE, target, dataset.root, dataset.query, dataset.gallery)
    return {
        "metrics": metrics_of(ranking),
        "protocol": f"test split; {ranking.protocol}",
        "queries": ranking.num_queries,
        "skipped": ranking.num_skipped,
        "evaluated_at": utc_now(),
    }


def _retiming(timing: Comparison, index: int, target: Target) -> dict[str, Any]:
    return {
        "latency_ms": float(timing.medians_ms[index]),
        "rounds_ms": [float(f"{value:.6g}") for value in timing.rounds_ms[index]],
        "trusted": timing.trusted,
        "reason": timing.reason,
        "target": target.to_dict(),
        "host": socket.gethostname(),
        "timed_at": utc_now(),
    }


def _keep(study: Study, record: Record, kind: str, fact: Mapping[str, Any]) -> Sequence[str]:
    """Commit a fact where there is none; a study that cannot be written is no reason not to pick."""
    if study.fact(record.number, kind) is not None:
        return ()
    try:
        commit_fact(study, record.number, kind, fact)
    except ReidParetoError as error:
        return (f"the figures were not kept in the study: {error}",)
    return ()
