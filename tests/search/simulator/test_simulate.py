"""The simulator: a landscape true to its trials, and searches that lose nothing to faults and deaths of the driver."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import spaces
from reid.errors import ConfigError
from search.simulator.landscape import load_landscape
from search.simulator.run import simulate, volumes

SPACE = spaces.load("market-osnet")
TABLE = load_landscape("market-osnet")


def test_the_landscape_is_close_to_the_trials_it_was_made_from() -> None:
    for trial in TABLE.trials:
        found = TABLE.figures(trial["params"])
        assert found["mAP"] == pytest.approx(trial["mAP"], abs=0.02)
        assert found["latency_ms"] == pytest.approx(trial["latency_ms"], rel=0.10)


def test_a_learning_curve_rises_to_the_final_map() -> None:
    for trial in TABLE.trials:
        curve = [TABLE.map_after(trial["params"], epoch) for epoch in range(1, TABLE.epochs + 1)]
        assert curve == sorted(curve)
        assert curve[-1] == pytest.approx(TABLE.figures(trial["params"])["mAP"])
        assert curve[0] < curve[-1]


def test_l1_nothing_is_lost_or_doubled_under_faults(tmp_path: Path) -> None:
    done = simulate(tmp_path / "s", SPACE, TABLE, trials=200, workers=8, sampler="random", faults=0.3)
    records = done.study.records()
    assert [record.number for record in records] == list(range(200))
    assert done.study.started() == ()
    assert all(times == 1 for times in Counter(done.cluster.answers).values())
    # Of five kinds of fault, three fail the trial and two are survived by a second attempt.
    assert {"RuntimeError", "bad_metric"} <= {r.error["kind"] for r in records if r.error}
    assert {record.attempt for record in records} == {1, 2}
    grown = volumes(done.study)
    assert grown == sorted(grown)
    assert grown[-1] == pytest.approx(done.study.hypervolume())


@pytest.mark.parametrize(("sampler", "workers"), [("tpe", 1), ("nsga2", 1), ("random", 4)])
def test_l2_a_driver_killed_every_hour_finds_the_same_front(
    tmp_path: Path, sampler: str, workers: int
) -> None:
    hourly = TABLE.seconds * 7.5
    given = {"trials": 40, "workers": workers, "sampler": sampler, "faults": 0.1}
    whole = simulate(tmp_path / "whole", SPACE, TABLE, **given)  # type: ignore[arg-type]
    broken = simulate(tmp_path / "broken", SPACE, TABLE, kill_every_s=hourly, **given)  # type: ignore[arg-type]
    assert broken.driver_deaths >= 1
    assert [r.params for r in broken.study.records()] == [r.params for r in whole.study.records()]
    assert [r.number for r in broken.study.front()] == [r.number for r in whole.study.front()]


def test_more_workers_end_sooner(tmp_path: Path) -> None:
    clocks = [
        simulate(tmp_path / str(n), SPACE, TABLE, trials=24, workers=n, sampler="random").cluster.clock_s
        for n in (1, 4)
    ]
    # One baseline alone, then 24 trials on one worker or six rounds of four.
    assert clocks == pytest.approx([25 * TABLE.seconds, 7 * TABLE.seconds])


def test_parameters_that_some_trials_do_not_have() -> None:
    trials = [
        {**trial, "params": {k: v for k, v in trial["params"].items() if k != "knn" or number % 2}}
        for number, trial in enumerate(TABLE.trials)
    ]
    table = replace(TABLE, trials=trials)
    for trial in trials:
        assert table.figures(trial["params"])["mAP"] == pytest.approx(trial["mAP"], abs=0.02)
    assert table.figures({**trials[0]["params"], "knn": None}) == table.figures(trials[0]["params"])
    with pytest.raises(ConfigError, match="needs prune_rate"):
        table.figures({k: v for k, v in trials[0]["params"].items() if k != "prune_rate"})


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    values = SPACE.to_dict()
    values["parameters"]["quantization"] = {"choice": ["fp32", "int8-qat"]}
    with pytest.raises(ConfigError, match="quantization='int8-qat'"):
        simulate(tmp_path / "s", spaces.parse_space(values, "other"), TABLE, trials=1)
    with pytest.raises(ConfigError, match="outlive"):
        simulate(tmp_path / "s", SPACE, TABLE, trials=1, kill_every_s=1.0)
    with pytest.raises(ConfigError, match="known are market-osnet"):
        load_landscape("nowhere")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"bad\.json"):
        load_landscape(tmp_path / "bad.json")
    assert not (tmp_path / "s").exists()
