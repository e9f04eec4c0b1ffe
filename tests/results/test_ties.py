import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from results.ties import Interval, paired_difference, paired_ratio

ROWS = st.lists(st.floats(0.01, 100), min_size=1, max_size=60)


def test_difference_has_the_interval_of_the_normal_theory() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(800), rng.random(800) + 0.05
    found = paired_difference(first, second)
    change = second - first
    half = 1.95996 * change.std(ddof=1) / np.sqrt(len(change))
    assert found.value == pytest.approx(change.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(
        (change.mean() - half, change.mean() + half), abs=0.1 * half
    )


def test_pairing_finds_what_unpaired_rows_would_hide() -> None:
    rng = np.random.default_rng(4)
    queries = rng.random(500)
    found = paired_difference(queries, queries + 0.01 + rng.normal(0, 0.02, 500))
    assert 0.005 < found.low < found.high < 0.015


def test_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = [
        paired_difference(np.zeros(120), rng.normal(0.1, 1, 120), seed=n).includes(0.1) for n in range(200)
    ]
    assert 0.90 <= np.mean(held) <= 0.99


def test_ratio_is_blind_to_what_slows_both() -> None:
    rng = np.random.default_rng(6)
    machine = 1 + rng.gamma(1.0, 0.5, 300)
    first = 2.0 * machine * rng.normal(1, 0.01, 300)
    second = 3.0 * machine * rng.normal(1, 0.01, 300)
    found = paired_ratio(first, second)
    assert found.value == pytest.approx(1.5, rel=0.003)
    assert 1.49 < found.low <= found.value <= found.high < 1.51


def test_a_burst_in_a_few_rounds_moves_nothing() -> None:
    first, second = np.full(60, 2.0), np.full(60, 2.0)
    second[5:15] = 9.0
    assert paired_ratio(first, second) == Interval(value=1, low=1, high=1)


@given(ROWS, st.floats(0.1, 10))
def test_a_constant_factor_is_found_exactly(rows: list[float], factor: float) -> None:
    found = paired_ratio(rows, np.array(rows) * factor)
    assert found.value == pytest.approx(factor)
    assert (found.low, found.high) == (pytest.approx(factor), pytest.approx(factor))


@given(ROWS)
def test_turning_the_pair_round_turns_the_difference_round(rows: list[float]) -> None:
    other = rows[::-1]
    one, two = paired_difference(rows, other), paired_difference(other, rows)
    assert (one.value, one.low, one.high) == pytest.approx((-two.value, -two.high, -two.low), abs=1e-9)
    assert one.low <= one.value + 1e-9
    assert one.value - 1e-9 <= one.high


def test_equal_rows_are_told_as_equal_and_same_seeds_give_the_same() -> None:
    rows = np.random.default_rng(0).random(50)
    assert paired_difference(rows, rows) == Interval(value=0, low=0, high=0)
    other = rows[::-1]
    assert paired_difference(rows, other, seed=1) == paired_difference(rows, other, seed=1)
    assert paired_difference(rows, other, seed=1) != paired_difference(rows, other, seed=2)


def test_near_enough_counts_as_included() -> None:
    interval = Interval(value=1.03, low=1.015, high=1.04)
    assert not interval.includes(1)
    assert interval.includes(1, within=0.02)
    assert interval.to_dict() == {"value": 1.03, "low": 1.015, "high": 1.04}


@pytest.mark.parametrize(
    ("first", "second"), [([], []), ([1], [1, 2]), ([[1.0]], [[1.0]]), ([1, np.nan], [1, 2]), ([1], [np.inf])]
)
def test_rows_that_do_not_pair_are_refused(first: list[float], second: list[float]) -> None:
    for paired in (paired_difference, paired_ratio):
        with pytest.raises(ConfigError, match="paired values"):
            paired(first, second)
    with pytest.raises(ConfigError, match="above 0"):
        paired_ratio([0.0], [1.0])
