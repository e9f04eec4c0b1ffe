"""Ask and tell: what the sampler learns, and that the records are enough to rebuild it."""

import random
from typing import Any

import optuna
import pytest

from reid.errors import ConfigError
from search.feedback import Told
from search.sampler import SAMPLERS, OptunaSampler, make_sampler
from spaces import Space
from tests.search.conftest import make_space

OPTUNA = sorted(set(SAMPLERS) - {"grid"})


def told(number: int, params: dict[str, Any]) -> Told:
    """Fails every seventh, infeasible and half measured every fifth, otherwise better with a low prune rate."""
    if number % 7 == 3:
        return Told(number=number, params=params, failed=True)
    latency = 20 * (1 - params["prune_rate"])
    if number % 5 == 4:
        return Told(number=number, params=params, values={"latency_ms": latency},
                    constraints={"latency_ms <= 8": 0.5, "other": 0.0})  # fmt: skip
    return Told(number=number, params=params, values={"mAP": 1 - params["prune_rate"] ** 2, "latency_ms": latency},
                constraints={"latency_ms <= 8": -0.1, "other": 0.0})  # fmt: skip


def study_of(sampler: Any) -> optuna.Study:
    assert isinstance(sampler, OptunaSampler)
    return sampler._study


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_answer_lies_in_the_space(name: str, space: Space) -> None:
    sampler = make_sampler(name, space, 0)
    for number in range(14):
        params = sampler.ask(number)
        assert set(params) == set(space.parameters)
        assert all(space.parameters[key].contains(value) for key, value in params.items())
        sampler.tell(told(number, params))


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random", "grid"])
def test_rebuilt_from_what_was_told_it_asks_the_same(name: str, space: Space) -> None:
    lived, history = make_sampler(name, space, 5), []
    for number in range(45):
        history.append(told(number, lived.ask(number)))
        lived.tell(history[-1])
    rebuilt = make_sampler(name, space, 5)
    rebuilt.rebuild(history)
    for number in range(45, 49):
        params = lived.ask(number)
        assert rebuilt.ask(number) == params
        for sampler in (lived, rebuilt):
            sampler.tell(told(number, params))
    assert make_sampler(name, space, 6).ask(0) != make_sampler(name, space, 5).ask(0)


def test_nsga2_goes_on_in_a_later_generation(space: Space) -> None:
    sampler = make_sampler("nsga2", space, 0)
    rng = random.Random(0)
    best = {"prune_rate": 0.31, "decay_rate": 0.0, "knn": 2, "input_size": [96, 48], "quantization": "fp32"}
    history = []
    for number in range(40):
        params = {**best, "prune_rate": rng.uniform(0.3, 0.9)}
        history.append(Told(number=number, params=params, values={"mAP": 0.5, "latency_ms": 1.0},
                            constraints={"other": 0.0}))  # fmt: skip
    sampler.rebuild(history)
    # Children of one population take their genes; a sampler at its beginning would draw both sizes.
    sizes = [sampler.ask(number)["input_size"] for number in range(40, 60)]
    assert sizes.count([96, 48]) >= 14


def test_failed_trials_are_told_as_failures_and_none_is_left_running(space: Space) -> None:
    """Ray's own adapter calls them complete, or leaves them running (docs/decisions/0003-ray.md)."""
    sampler = make_sampler("tpe", space, 0)
    for number in range(20):
        sampler.tell(told(number, sampler.ask(number)))
    study = study_of(sampler)
    states = [trial.state for trial in study.trials]
    assert states.count(optuna.trial.TrialState.FAIL) == 3
    assert states.count(optuna.trial.TrialState.RUNNING) == 0
    best = {trial.number for trial in study.best_trials}
    assert best
    assert not {number for number in range(20) if number % 7 == 3 or number % 5 == 4} & best


@pytest.mark.parametrize("name", OPTUNA)
def test_an_adopted_trial_keeps_its_parameters(name: str, space: Space) -> None:
    params = {"prune_rate": 0.7, "decay_rate": 0.2, "knn": 3, "input_size": [96, 48], "quantization": "fp32"}
    sampler = make_sampler(name, space, 0)
    sampler.adopt(0, params)
    running = study_of(sampler).trials[0]
    assert running.state == optuna.trial.TrialState.RUNNING
    assert running.params["input_size"] == "[96, 48]"
    sampler.tell(told(0, params))
    assert study_of(sampler).trials[0].values == pytest.approx([1 - 0.49, 6.0])


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_conditions_leave_parameters_out(name: str) -> None:
    space = make_space(
        fixed={},
        parameters={
            "knn": {"int": [2, 5], "when": {"method": "bafd"}},
            "method": {"choice": ["bafd", "fpgm"]},
            "prune_rate": {"float": [0.3, 0.9]},
        },
    )
    sampler = make_sampler(name, space, 0)
    seen = set()
    for number in range(16):
        params = sampler.ask(number)
        assert ("knn" in params) == (params["method"] == "bafd")
        seen.add(params["method"])
        sampler.tell(told(number, params))
    assert seen == {"bafd", "fpgm"}


def test_tpe_learns_the_limit(space: Space) -> None:
    """With a constraint that half of the space breaks, later trials break it less often than random ones."""
    sampler = make_sampler("tpe", space, 0)
    broken = []
    for number in range(60):
        params = sampler.ask(number)
        over = 0.6 - params["prune_rate"]
        broken.append(over > 0)
        sampler.tell(Told(number=number, params=params, values={"mAP": 0.5, "latency_ms": 1 + over},
                          constraints={"latency_ms <= 1": over, "other": 0.0}))  # fmt: skip
    assert sum(broken[30:]) < 0.3 * 30 < sum(broken[:10]) * 3 + 9


def test_gp_takes_trials_without_all_figures(space: Space) -> None:
    sampler = make_sampler("gp", space, 0)
    for number in range(12):
        sampler.tell(told(number, sampler.ask(number)))
    assert set(sampler.ask(12)) == set(space.parameters)


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_ten_thousand_trials_are_rebuilt(name: str, space: Space) -> None:
    """D10; the time that it takes is the business of benchmarks/study_rebuild.py."""
    rng = random.Random(0)
    history = []
    for number in range(10_000):
        params = {"prune_rate": rng.uniform(0.3, 0.9), "decay_rate": 0.5, "knn": 3, "input_size": [96, 48],
                  "quantization": "fp32"}  # fmt: skip
        history.append(Told(number=number, params=params, values={"mAP": rng.random(), "latency_ms": rng.random()},
                            constraints={"other": 0.0}))  # fmt: skip
    sampler = make_sampler(name, space, 0)
    sampler.rebuild(history)
    assert len(study_of(sampler).trials) == 10_000
    assert set(sampler.ask(10_000)) >= {"prune_rate", "quantization"}


def test_an_unknown_sampler_lists_the_known(space: Space) -> None:
    with pytest.raises(ConfigError, match=r"unknown sampler 'tp'; did you mean tpe\? known: gp, grid, nsga2"):
        make_sampler("tp", space, 0)
