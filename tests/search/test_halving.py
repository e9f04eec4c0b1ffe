"""Rungs ranked by domination against a brute-force twin, and what a search remembers of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import spaces
from reid.errors import ConfigError
from search.halving import (
    Halving,
    HalvingSettings,
    crowding_distances,
    order_by_domination,
    rung_epochs,
    with_evaluations,
)
from search.planner import override
from tests.results.samples import make_record
from tests.search.conftest import make_space

DIRECTIONS = ["maximize", "minimize"]
OBJECTIVES = {"mAP": "maximize", "latency_ms": "minimize"}


def beats(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    signed = (one - other) * np.array([1, -1])
    return bool((signed >= 0).all() and (signed > 0).any())


def plain_order(values: NDArray[np.float64]) -> list[int]:
    left, ordered = list(range(len(values))), []
    while left:
        front = [i for i in left if not any(beats(values[j], values[i]) for j in left)]
        room = {i: 0.0 for i in front}
        for column in range(values.shape[1]):
            by_value = sorted(front, key=lambda i: values[i, column])
            spread = values[by_value[-1], column] - values[by_value[0], column]
            if spread > 0:
                room[by_value[0]] = room[by_value[-1]] = np.inf
                for before, i, after in zip(by_value, by_value[1:], by_value[2:], strict=False):
                    room[i] += (values[after, column] - values[before, column]) / spread
        ordered += sorted(front, key=lambda i: -room[i])
        left = [i for i in left if i not in front]
    return ordered


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=14))
def test_order_is_that_of_the_plain_loop(rows: list[tuple[int, int]]) -> None:
    values = np.array(rows, dtype=np.float64)
    ordered = order_by_domination(values, DIRECTIONS).tolist()
    assert sorted(ordered) == list(range(len(rows)))
    assert ordered == plain_order(values)


def test_crowding_of_a_known_front() -> None:
    found = crowding_distances(np.array([[0.0, 0.0], [1.0, 3.0], [4.0, 4.0]]))
    assert found.tolist() == [np.inf, 2.0, np.inf]
    assert crowding_distances(np.ones((3, 2))).tolist() == [0, 0, 0]


def test_rungs() -> None:
    assert rung_epochs(HalvingSettings(grace_epochs=2, eta=3), 20) == (2, 6, 18)
    assert rung_epochs(HalvingSettings(grace_epochs=5), 4) == ()


def test_the_worse_half_stops() -> None:
    halving = Halving(HalvingSettings(grace_epochs=1, eta=2), OBJECTIVES)

    def goes_on(mean_ap: float, latency_ms: float, epoch: int = 1) -> bool:
        return halving.keep_going(epoch, {"mAP": mean_ap, "latency_ms": latency_ms})

    assert goes_on(0.5, 4.0), "the first of a rung always does"
    assert not goes_on(0.4, 5.0), "beaten, and one of two goes on"
    assert goes_on(0.6, 3.0)
    assert goes_on(0.3, 9.0, epoch=3), "no rung"
    assert goes_on(0.1, 99.0, epoch=2), "the first of the next rung"
    assert halving.keep_going(1, {"mAP": 0.0}), "nothing to compare"


def test_earlier_trials_stand_on_their_rungs() -> None:
    halving = Halving(HalvingSettings(grace_epochs=1), OBJECTIVES)
    curves = [
        {"stage": "dense", "epoch": 0, "val_mAP": 0.1},
        {"stage": "finetune", "epoch": 0, "val_mAP": 0.7},
        {"stage": "finetune", "epoch": 1, "val_mAP": None},
    ]
    halving.note(make_record(0, curves=curves, checks={"early_latency_ms": 2.0}))
    assert not halving.keep_going(1, {"mAP": 0.6, "latency_ms": 2.5})
    assert halving.keep_going(2, {"mAP": 0.6, "latency_ms": 2.5})


def test_resuming_sorts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    halving = Halving(HalvingSettings(grace_epochs=1), OBJECTIVES)
    curves = [{"stage": "finetune", "epoch": 0, "val_mAP": 0.7}]
    monkeypatch.setattr("search.halving.order_by_domination", lambda *_: pytest.fail("sorted"))
    halving.note(make_record(0, curves=curves))


@pytest.mark.parametrize("late", ["rank1", "mAP_trapezoid", "peak_memory_mb"])
def test_objectives_that_no_epoch_tells_are_refused(late: str) -> None:
    space = make_space(objectives={late: "minimize", "latency_ms": "minimize"})
    with pytest.raises(ConfigError, match=f"objective {late} is measured afterwards"):
        with_evaluations(space, HalvingSettings())
    sizes = make_space(objectives={"mAP": "maximize", "size_bytes": "minimize", "macs": "minimize"})
    assert with_evaluations(sizes, HalvingSettings()).fixed["validate_every"] == 2


def test_a_space_is_evaluated_at_every_rung() -> None:
    space, settings_ = spaces.load("demo"), HalvingSettings(grace_epochs=3)
    assert with_evaluations(space, settings_).fixed["validate_every"] == 3
    finer = override(space, {"validate_every": 1})
    assert with_evaluations(finer, settings_) == finer
    with pytest.raises(ConfigError, match="--grace-epochs 3 is no multiple of validate_every"):
        with_evaluations(override(space, {"validate_every": 2}), settings_)
    with pytest.raises(ConfigError, match="leave prune_rounds at 1"):
        with_evaluations(override(space, {"prune_rounds": 2}), settings_)


@pytest.mark.parametrize(
    ("values", "message"), [({"eta": 1}, "--eta"), ({"grace_epochs": 0}, "--grace-epochs")]
)
def test_wrong_settings(values: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HalvingSettings(**values)
