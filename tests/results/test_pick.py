import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError, NothingFeasible
from results import Record, Study
from results.pick import pick, with_record
from tests.results.conftest import COMPLETE, trial
from tests.results.samples import failed_record


@dataclass
class InMemory:
    """Records without a folder."""

    trials: Sequence[Record]
    baseline: Record | None = None
    objectives: dict[str, str] = field(default_factory=lambda: {"mAP": "maximize", "latency_ms": "minimize"})
    gone: frozenset[int] = frozenset()

    def records(self) -> Sequence[Record]:
        return self.trials

    def discarded(self) -> frozenset[int]:
        return self.gone


def test_nothing_said_gives_the_knee(study: Study) -> None:
    choice = pick(study)
    assert choice.record.number == 5
    assert choice.reason == (
        "Trial 5 is the knee of the front (4 of 6 trusted, feasible trials): mAP 0.74, latency_ms 3."
    )
    assert [runner.record.number for runner in choice.runners_up] == [3, 0, 8]
    assert choice.runners_up[0].trade == "mAP 0.78 (+0.04), latency_ms 5 (+2)"
    assert choice.prices == ()


def test_latency_limited_gives_the_most_accurate(study: Study) -> None:
    choice = pick(study, maximum={"latency_ms": 5.5})
    assert choice.record.number == 3
    assert choice.reason == (
        "Trial 3 has the highest mAP of 4 trusted, feasible trials with latency_ms <= 5.5: mAP 0.78."
    )
    assert [runner.record.number for runner in choice.runners_up] == [5, 2, 8]
    assert [(p.wish, p.record.number, p.gain) for p in choice.prices] == [
        ("latency_ms <= 5.5", 0, "mAP 0.8 (+0.02), latency_ms 8 (+3)")
    ]


def test_a_limit_on_throughput_asks_for_what_the_equal_one_on_latency_does() -> None:
    points = [(0.80, 8.0), (0.78, 5.0), (0.74, 3.0), (0.55, 2.5)]
    records = [trial(number, *point) for number, point in enumerate(points)]
    for record in records:
        record.metrics["throughput_per_s"] = 1000 / record.metrics["latency_ms"]
    assert pick(InMemory(records)).record.number == 2
    one = pick(InMemory(records), minimum={"throughput_per_s": 200})
    other = pick(InMemory(records), maximum={"latency_ms": 5})
    assert one.record.number == other.record.number == 1
    assert one.wanted == other.wanted == ("mAP",)
    assert [(p.record.number, p.gain) for p in one.prices] == [
        (p.record.number, p.gain) for p in other.prices
    ]
    assert one.offers == other.offers


@pytest.mark.parametrize("metric", ["latency_p90_ms", "latency_ratio"])
def test_any_latency_counts_as_latency(study: Study, metric: str) -> None:
    assert pick(study, maximum={metric: 5.5 if metric.endswith("ms") else 0.33}).record.number == 3


def test_accuracy_limited_gives_the_fastest(study: Study) -> None:
    assert pick(study, minimum={"mAP": 0.7}).record.number == 5
    assert pick(study, minimum={"rank1": 0.87}).record.number == 3
    # The untrusted trial 4 would be faster and more accurate.
    assert pick(study, minimum={"mAP": 0.1}).record.number == 8


def test_both_limited_gives_the_most_accurate(study: Study) -> None:
    choice = pick(study, maximum={"latency_ms": 6}, minimum={"mAP": 0.7})
    assert choice.record.number == 3
    assert choice.reason.startswith("Trial 3 has the highest mAP of 4 trusted")
    assert [price.wish for price in choice.prices] == ["latency_ms <= 6"]


def test_drop_is_counted_from_the_baseline(study: Study) -> None:
    # 0.84 - 0.04 is 0.7999999999999999 in floating point and 0.84 - 0.06 is 0.78: both ends count as within.
    assert pick(study, max_drop={"mAP": 0.04}).record.number == 0
    choice = pick(study, max_drop={"mAP": 0.06})
    assert choice.record.number == 3
    assert "mAP >= baseline - 0.06" in choice.reason


def test_limit_on_a_third_metric_keeps_the_knee(study: Study) -> None:
    choice = pick(study, maximum={"size_bytes": 10_000_000})
    assert choice.record.number == 5
    assert "(4 of 6 trusted, feasible trials with size_bytes <= 1e+07)" in choice.reason


def test_throughput_is_better_when_higher_and_no_fraction() -> None:
    records = [trial(number, 0.7 + 0.02 * number, 2.0 + number) for number in range(3)]
    for record in records:
        record.metrics["throughput_per_s"] = 1000 / record.metrics["latency_ms"]
    choice = pick(InMemory(records), minimum={"throughput_per_s": 300})
    assert (choice.record.number, choice.wishes[0].text) == (1, "throughput_per_s >= 300")
    with pytest.raises(NothingFeasible, match=r"throughput_per_s short by 100"):
        pick(InMemory(records), minimum={"throughput_per_s": 600})
    with pytest.raises(ConfigError, match="a drop is of an accuracy"):
        pick(InMemory(records), max_drop={"throughput_per_s": 0.1})


def test_ties_go_to_the_other_objective_then_to_the_earlier_trial() -> None:
    tied = [trial(3, 0.7, 5.0), trial(2, 0.7, 4.0), trial(1, 0.7, 4.0), trial(0, 0.6, 1.0)]
    assert pick(InMemory(tied), maximum={"latency_ms": 6}).record.number == 1


def test_nothing_feasible_names_the_nearest(study: Study) -> None:
    with pytest.raises(NothingFeasible) as caught:
        pick(study, maximum={"latency_ms": 2}, minimum={"mAP": 0.75})
    assert caught.value.exit_code == 7
    text = str(caught.value)
    assert text.startswith(
        "none of 6 trusted, feasible trials meets latency_ms <= 2 and mAP >= 0.75; nearest: "
    )
    assert "trial 8 (latency_ms over by 0.5 and mAP short by 0.2)" in text
    assert "\n" not in text


def test_no_candidate_tells_what_became_of_the_trials(study: Study) -> None:
    kept = {4, 6, 7}
    left = InMemory([r for r in study.records() if r.number in kept])
    with pytest.raises(NothingFeasible) as caught:
        pick(left)
    assert str(caught.value) == (
        "none of 3 trials can be picked: 1 failed, 1 infeasible, 1 with untrusted latency; "
        "nearest: trial 6 (latency_ms <= 8.5 broken by 0.7)"
    )
    with pytest.raises(NothingFeasible, match="no committed trial yet"):
        pick(InMemory([]))


def test_trials_without_files_and_limits_broken_since_are_counted(study: Study) -> None:
    with pytest.raises(NothingFeasible) as caught:
        pick(InMemory(study.records(), gone=frozenset(COMPLETE)))
    assert str(caught.value) == (
        "none of 9 trials can be picked: 1 failed, 1 infeasible, 1 with untrusted latency, "
        "6 with files removed to make room; nearest: trial 6 (latency_ms <= 8.5 broken by 0.7)"
    )
    again = trial(0, 0.7, 9.0, violations={"latency_ms <= 8": 1.0})
    del (lacking := trial(1, 0.7, 5.0)).metrics["mAP"]
    with pytest.raises(NothingFeasible) as caught:
        pick(InMemory([again, lacking]))
    assert str(caught.value) == (
        "none of 2 trials can be picked: 1 infeasible, 1 without an objective; "
        "nearest: trial 0 (latency_ms <= 8 broken by 1)"
    )


def test_what_has_no_files_is_neither_offered_nor_priced(study: Study) -> None:
    left = InMemory(study.records(), gone=frozenset({0}))
    assert [offer.record.number for offer in pick(InMemory(study.records()), trial=3).offers] == [0, 5]
    assert [offer.record.number for offer in pick(left, trial=3).offers] == [5]
    assert pick(left, trial=0).record.number == 0  # whoever names it is told why it cannot be had
    choice = pick(left, maximum={"latency_ms": 4})
    assert choice.record.number == 5
    other = with_record(choice, choice.runners_up[0].record, left)
    told = [*other.prices, *other.offers]
    assert told
    assert 0 not in {one.record.number for one in told}


def test_the_nearest_is_that_which_misses_least_of_its_limit() -> None:
    """2,000 bytes of a megabyte are less than 4 of 8 ms."""
    slow = trial(0, 0.7, 12.0, status="infeasible", violations={"latency_ms <= 8": 4.0})
    large = trial(1, 0.7, 5.0, status="infeasible", violations={"size_bytes <= 1e+06": 2000.0})
    with pytest.raises(NothingFeasible, match=r"nearest: trial 1 \(.*\), trial 0 \("):
        pick(InMemory([slow, large]))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"maximum": {"latncy_ms": 5}}, "did you mean latency_ms"),
        ({"maximum": {"latncy_ms": 5}}, "known: latency_ms, latency_p10_ms, .*mAP"),
        ({"minimum": {"mAP": 70}}, "fractions, write 0.7"),
        ({"minimum": {"mAP": float("nan")}}, "finite"),
        ({"max_drop": {"latency_ms": 1}}, "use --max latency_ms"),
        ({"max_drop": {"mAP": -0.1}}, "at least 0"),
        ({"trial": 99}, "numbers go from 0 to 8"),
        ({"trial": 7}, "is failed and cannot be picked: knn must be at least 2"),
        ({"trial": 6}, "is infeasible and cannot be picked: latency_ms <= 8.5"),
        ({"trial": 3, "minimum": {"mAP": 0.7}}, "--trial names the choice"),
    ],
)
def test_wrong_wishes_are_one_clear_line(study: Study, wishes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        pick(study, **wishes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_drop_without_a_baseline() -> None:
    with pytest.raises(ConfigError, match="no baseline with mAP"):
        pick(InMemory([trial(0, 0.5, 1.0)]), max_drop={"mAP": 0.1})


@pytest.mark.parametrize(
    ("number", "standing"),
    [
        (3, "is on the front"),
        (2, r"is dominated by trial 3 \(mAP 0.78 \(\+0.06\), latency_ms 5 \(-0.5\)\)"),
        (4, "its latency is not trusted"),
    ],
)
def test_named_trial_tells_its_standing(study: Study, number: int, standing: str) -> None:
    choice = pick(study, trial=number)
    assert choice.record.number == number
    assert re.search(standing, choice.reason)
    assert choice.runners_up == ()


points = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.booleans()), min_size=1, max_size=12
)


def build(rows: list[tuple[int, int, bool, bool]]) -> list[Record]:
    made = []
    for number, (accuracy, latency, trusted, works) in enumerate(rows):
        if works:
            made.append(trial(number, accuracy / 10, float(latency), latency_trusted=trusted))
        else:
            made.append(failed_record(number))
    return made


@given(points, st.integers(1, 9) | st.none(), st.integers(1, 9) | st.none())
def test_choice_agrees_with_the_definition(
    rows: list[tuple[int, int, bool, bool]], latest: int | None, least: int | None
) -> None:
    maximum = {"latency_ms": float(latest)} if latest else {}
    minimum = {"mAP": least / 10} if least else {}
    usable = {n: row[:2] for n, row in enumerate(rows) if row[2] and row[3]}
    within = {
        n: (a, t) for n, (a, t) in usable.items() if (not latest or t <= latest) and (not least or a >= least)
    }
    study = InMemory(build(rows))
    if not within:
        with pytest.raises(NothingFeasible):
            pick(study, maximum=maximum, minimum=minimum)
        return
    choice = pick(study, maximum=maximum, minimum=minimum)
    accuracy, latency = within[choice.record.number]
    assert not any(
        a >= accuracy and t <= latency and (a, t) != (accuracy, latency) for a, t in within.values()
    ), "dominated"
    if latest:
        assert accuracy == max(a for a, _ in within.values())
    elif least:
        assert latency == min(t for _, t in within.values())
    others = [runner.record.number for runner in choice.runners_up]
    assert choice.record.number not in others
    assert len(set(others)) == len(others) <= 3
    assert set(others) <= set(within)
    for price in choice.prices:
        assert price.record.number in usable
        assert price.record.number not in within
