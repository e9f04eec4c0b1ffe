import numpy as np
import pytest

from reid.errors import NothingFeasible
from results import Study
from results.pick import pick
from results.settle import Evidence, settle
from tests.results.conftest import trial
from tests.results.test_pick import InMemory

RNG = np.random.default_rng(0)
QUERIES = RNG.random(400) * 0.4 + 0.4


def evidence(accuracy: float, latency: float, *, noise: float = 0.0, seed: int = 1) -> Evidence:
    """Of a network whose average precisions lie around those of the others by `accuracy`."""
    rng = np.random.default_rng(seed)
    return Evidence(
        precision=QUERIES + accuracy + rng.normal(0, noise, len(QUERIES)) if noise else QUERIES + accuracy,
        rounds_ms=latency * rng.normal(1, 0.01, 60),
    )


def sized(number: int, accuracy: float, latency: float, size: float):  # type: ignore[no-untyped-def]
    record = trial(number, accuracy, latency)
    record.metrics["size_bytes"] = size
    return record


def test_what_can_be_told_apart_stays_as_it_was_chosen(study: Study) -> None:
    choice = pick(study, maximum={"latency_ms": 5.5})
    found = {3: evidence(0.04, 5.0), 5: evidence(0.0, 3.0), 2: evidence(-0.02, 5.4), 8: evidence(-0.2, 2.5)}
    settled = settle(choice, found, study, trusted=True, same_machine=True)
    assert settled.choice == choice
    assert [(one.record.number, one.tied, one.broken) for one in settled.standings] == [
        (3, False, ""), (5, False, ""), (2, False, ""), (8, False, ""),
    ]  # fmt: skip
    fast = settled.standings[1]
    assert fast.difference.value == pytest.approx(-0.04)
    assert fast.ratio.value == pytest.approx(0.6, rel=0.01)
    assert settled.standings[0].ratio.value == 1


def test_of_ties_the_smallest_wins_and_all_are_named() -> None:
    records = [
        sized(0, 0.78, 5.0, 900),
        sized(1, 0.777, 4.0, 400),
        sized(2, 0.774, 3.0, 500),
        sized(3, 0.70, 1.0, 100),
    ]
    study = InMemory(records)
    choice = pick(study, maximum={"latency_ms": 6})
    found = {
        0: evidence(0.004, 5.0, noise=0.1, seed=1), 1: evidence(0.001, 4.0, noise=0.1, seed=2),
        2: evidence(0.0, 3.0, noise=0.1, seed=3), 3: evidence(-0.1, 1.0),
    }  # fmt: skip
    settled = settle(choice, found, study, trusted=True, same_machine=True)
    assert settled.choice.record.number == 1
    assert settled.choice.reason.endswith(
        "Trials 0, 1 and 2 cannot be told apart in mAP; trial 1 is the smallest of them (400 bytes); by the records it "
        "gives up 0.003 of mAP to trial 0 and 1 of latency_ms to trial 2."
    )
    assert settled.choice.reason.startswith(choice.reason)
    assert [(one.record.number, one.tied) for one in settled.standings] == [
        (1, True),
        (0, True),
        (2, True),
        (3, False),
    ]
    # What the runners-up would give is told from the winner.
    assert settled.choice.runners_up[0].trade == "mAP 0.78 (+0.003), latency_ms 5 (+1)"
    assert settled.choice.offers != choice.offers


def test_a_few_bytes_beat_neither_latency_nor_accuracy() -> None:
    records = [sized(0, 0.780, 5.0, 859_318), sized(1, 0.779, 3.0, 859_324), sized(2, 0.778, 5.5, 859_316)]
    study = InMemory(records)
    found = {
        record.number: evidence(0.0, record.metrics["latency_ms"], seed=record.number) for record in records
    }
    within = pick(study, maximum={"latency_ms": 6})
    settled = settle(within, found, study, trusted=True, same_machine=True)
    assert settled.choice.record.number == 1
    assert settled.choice.reason.endswith(
        "Trials 0, 1 and 2 cannot be told apart in mAP; among the smallest files, equal within 1 %, trial 1 has the "
        "lowest latency_ms; by the records it gives up 0.001 of mAP to trial 0."
    )
    # Where the rest cannot be told apart either, the order of the choice stands.
    alike = {number: evidence(0.0, 5.0, seed=number) for number in found}
    settled = settle(within, alike, study, trusted=True, same_machine=True)
    assert settled.choice.record.number == 0
    assert (
        "equal within 1 %, trial 0 comes first; by the records it gives up 2 of latency_ms to trial 1."
        in (settled.choice.reason)
    )
    for record in records:
        del record.metrics["size_bytes"]
    sizeless = settle(within, alike, study, trusted=True, same_machine=True).choice.reason
    assert "cannot be told apart in mAP; trial 0 comes first; by" in sizeless
    # Untrusted timings decide nothing: the records do.
    doubted = settle(within, alike, study, trusted=False, same_machine=True)
    assert doubted.choice.record.number == 1
    # With the latency wanted, the accuracy is the rest.
    fast = pick(study, minimum={"mAP": 0.7})
    accurate = {**alike, 0: evidence(0.1, 5.0), 2: evidence(-0.1, 5.0)}
    settled = settle(fast, accurate, study, trusted=True, same_machine=True)
    assert settled.choice.record.number == 0
    assert "trial 0 has the highest mAP; by the records" in settled.choice.reason


def test_the_knee_ties_only_where_both_objectives_do() -> None:
    records = [
        sized(0, 0.80, 4.0, 900),
        sized(1, 0.79, 3.98, 400),
        sized(2, 0.5, 1.0, 50),
        sized(3, 0.795, 3.99, 100),
    ]
    study = InMemory(records)
    choice = pick(study)
    first = choice.record.number
    both = {n: evidence(0.0, 4.0, noise=0.05, seed=n) for n in range(4)} | {2: evidence(-0.3, 1.0)}
    assert settle(choice, both, study, trusted=True, same_machine=True).choice.record.number == 3
    slower = both | {n: evidence(0.0, 4.6, noise=0.05, seed=n) for n in range(4) if n not in (first, 2)}
    assert settle(choice, slower, study, trusted=True, same_machine=True).choice.record.number == first


def test_two_percent_of_latency_are_no_difference() -> None:
    records = [sized(0, 0.80, 4.00, 900), sized(1, 0.80, 4.05, 400)]
    study = InMemory(records)
    choice = pick(study, minimum={"mAP": 0.5})
    assert choice.record.number == 0
    near = {0: evidence(0, 4.0, seed=1), 1: evidence(0, 4.06, seed=2)}
    assert settle(choice, near, study, trusted=True, same_machine=True).choice.record.number == 1
    # Samples that are not trusted spread so far that everything would tie.
    settled = settle(choice, near, study, trusted=False, same_machine=True)
    assert settled.choice.record.number == 0
    far = {0: evidence(0, 4.0, seed=1), 1: evidence(0, 4.3, seed=2)}
    assert settle(choice, far, study, trusted=True, same_machine=True).choice.record.number == 0


def test_a_limit_that_is_broken_now_puts_a_trial_out(study: Study) -> None:
    choice = pick(study, maximum={"latency_ms": 5.5})
    found = {3: evidence(0.04, 5.9), 5: evidence(0.0, 3.0), 2: evidence(-0.02, 5.4), 8: evidence(-0.2, 2.5)}
    settled = settle(choice, found, study, trusted=True, same_machine=True)
    assert settled.choice.record.number == 5
    assert "Timed again, trial 3 is out: latency_ms <= 5.5 broken by 0.4" in settled.choice.reason
    assert "Trial 5 comes next (3" in settled.choice.reason
    assert [one.record.number for one in settled.standings] == [5, 3, 2, 8]
    assert settled.standings[1].broken.startswith("latency_ms <= 5.5 broken by")
    # On another machine, or where the timing is not trusted, the records' latencies decide.
    for trusted, same_machine in ((True, False), (False, True)):
        settled = settle(choice, found, study, trusted=trusted, same_machine=same_machine)
        assert settled.choice.record.number == 3
    slow = {number: evidence(0.0, 9.0) for number in found}
    with pytest.raises(
        NothingFeasible, match=r"timed again, no candidate meets its limit: trial 3 \(latency_ms"
    ):
        settle(choice, slow, study, trusted=True, same_machine=True)


def test_a_limit_on_throughput_is_broken_as_the_equal_one_on_latency() -> None:
    records = [trial(0, 0.78, 5.0), trial(1, 0.70, 3.0)]
    for record in records:
        record.metrics["throughput_per_s"] = 1000 / record.metrics["latency_ms"]
    study = InMemory(records)
    choice = pick(study, minimum={"throughput_per_s": 200})
    assert choice.record.number == 0
    within = {0: evidence(0.04, 5.05), 1: evidence(0.0, 3.0)}
    assert settle(choice, within, study, trusted=True, same_machine=True).choice.record.number == 0
    slower = within | {0: evidence(0.04, 5.5)}
    settled = settle(choice, slower, study, trusted=True, same_machine=True)
    assert settled.choice.record.number == 1
    assert "trial 0 is out: throughput_per_s >= 200 broken by 1" in settled.choice.reason


def test_a_lower_limit_on_latency_is_no_upper_one(study: Study) -> None:
    choice = pick(study, minimum={"latency_ms": 3.0})
    slow = {
        record.number: evidence(0.0, 9.0)
        for record in (choice.record, *(r.record for r in choice.runners_up))
    }
    settled = settle(choice, slow, study, trusted=True, same_machine=True)
    assert not any(one.broken for one in settled.standings)


def test_a_named_trial_stays(study: Study) -> None:
    choice = pick(study, trial=2)
    settled = settle(choice, {2: evidence(0, 5.5)}, study, trusted=True, same_machine=True)
    assert settled.choice == choice
    assert [one.record.number for one in settled.standings] == [2]
