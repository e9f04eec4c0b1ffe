"""From a space to configurations, and what is refused before anything runs."""

from typing import Any

import pytest

import spaces
from reid.config import TrialConfig
from reid.errors import ConfigError
from search.planner import (
    baseline_config,
    check_space,
    check_space_names,
    override,
    resolve_limits,
    trial_config,
)
from spaces import Space
from tests.search.conftest import make_space


@pytest.mark.parametrize("name", spaces.preset_names())
def test_presets_are_sound(name: str) -> None:
    space = spaces.load(name)
    check_space(space)
    if "distill-embedding" in space.fixed.get("loss", ()):
        with pytest.raises(ConfigError, match="set teacher to a file"):
            check_space_names(space)
    else:
        check_space_names(space)
    dense = baseline_config(space)
    assert dense.method == "none"
    assert dense.backbone == space.fixed["backbone"]


def test_the_baseline_is_dense_at_the_largest_size() -> None:
    space = make_space(
        parameters={
            "input_size": {"choice": [[96, 48], [160, 64], [128, 64]]},
            "backbone": {"choice": ["osnet_x0_25", "resnet18"]},
            "quantization": {"choice": ["int8-static", "fp32"]},
            "prune_rate": {"float": [0.3, 0.9]},
        },
        fixed={"method": "bafd", "epochs": 7},
    )
    config = baseline_config(space, seed=3)
    assert (config.input_size, config.backbone, config.epochs) == ((160, 64), "osnet_x0_25", 7)
    assert (config.method, config.quantization, config.seed) == ("none", "fp32", 3)


def test_the_baseline_takes_of_a_range_what_is_nearest_to_the_default() -> None:
    space = make_space(
        fixed={"method": "bafd", "zero_epochs": 6},
        parameters={
            "prune_epochs": {"int": [8, 12]},
            "learning_rate": {"float": [1e-4, 1e-2]},
            "epochs": {"int": [2, 8]},
            "latency_budget": {"float": [0.2, 0.8], "when": {"allocate": "latency"}},
            "allocate": {"choice": ["latency", "uniform"]},
            "schedule": {"choice": ["step", "cosine"]},
            "milestones": {"choice": [[4], [6]], "when": {"schedule": "step"}},
        },
    )
    check_space(space)
    config = baseline_config(space)
    assert (config.prune_epochs, config.learning_rate, config.epochs) == (8, 3.5e-4, 8)
    assert (config.schedule, config.milestones, config.latency_budget) == ("step", (4,), None)


CONDITIONAL = {
    "allocate": {"choice": ["uniform", "latency"]},
    "prune_rate": {"float": [0.3, 0.8], "when": {"allocate": "uniform"}},
    "latency_budget": {"float": [0.2, 0.8], "when": {"allocate": "latency"}},
    "schedule": {"choice": ["cosine", "step"]},
    "milestones": {"choice": [[5, 10], [15]], "when": {"schedule": "step"}},
}


def test_what_is_searched_under_a_condition_is_checked_under_it() -> None:
    check_space(make_space(parameters=CONDITIONAL))
    check_space_names(make_space(parameters=CONDITIONAL))


@pytest.mark.parametrize(
    ("name", "parameter", "message"),
    [
        ("latency_budget", {"float": [0.0, 0.8]}, "latency_budget must be a share"),
        ("latency_budget", {"float": [0.2, 1.5]}, "latency_budget must be a share"),
        ("milestones", {"choice": [[5, 10], [15], [3, 2]]}, "milestones must be rising"),
    ],
)
def test_every_end_under_a_condition_is_tried(name: str, parameter: dict[str, Any], message: str) -> None:
    wrong = {**CONDITIONAL, name: {**parameter, "when": CONDITIONAL[name]["when"]}}
    with pytest.raises(ConfigError, match=message):
        check_space(make_space(parameters=wrong))


def test_conditions_of_conditions_hold_where_an_end_is_tried() -> None:
    parameters = {
        "method": {"choice": ["fpgm", "bafd"]},
        "gradient_mask": {"choice": [False, True], "when": {"method": "bafd"}},
        "knn": {"int": [1, 4], "when": {"gradient_mask": True}},
    }
    with pytest.raises(ConfigError, match="knn must be at least 2"):
        check_space(make_space(fixed={}, parameters=parameters))


def test_values_go_before_fixed_settings_and_a_fixed_seed_stays() -> None:
    space = make_space(fixed={"method": "bafd", "seed": 9, "epochs": 7}, target={"threads": 2})
    config = trial_config(space, {"epochs": 8, "input_size": [96, 48]}, seed=1)
    assert (config.epochs, config.seed, config.input_size, config.target.threads) == (8, 9, (96, 48), 2)
    assert TrialConfig.from_dict(config.to_dict()) == config


def test_dataset_and_target_are_replaced_like_other_settings() -> None:
    space = override(make_space(), {"dataset": "own", "target": "openvino", "epochs": 3})
    assert (space.dataset, dict(space.target), space.fixed["epochs"]) == ("own", {"runtime": "openvino"}, 3)
    check_space(space)
    assert override(space, {"target": {"threads": 2}}).target == {"threads": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"prune_rat": {"float": [0, 0.5]}}}, r"'prune_rat'; did you mean prune_rate\?"),
        ({"fixed": {"method": "bafd", "epoch": 3}}, r"'epoch'; did you mean epochs\?"),
        ({"fixed": {"method": "bafd", "dataset": "market1501"}}, "dataset is a key of its own"),
        ({"parameters": {"target": {"choice": ["a"]}}}, "target is a key of its own"),
        (
            {
                "fixed": {},
                "parameters": {
                    "method": {"choice": ["bafd", "fpgm"]},
                    "knn": {"int": [2, 5], "when": {"method": "baft"}},
                },
            },
            "knn.when .* asks for method: baft, which method never is",
        ),
        ({"parameters": {"seed": {"choice": [0, 1]}}}, "seed decides .* put it under fixed"),
        ({"parameters": {"validation_share": {"float": [0.1, 0.3]}}}, "validation_share decides"),
        ({"parameters": {"teacher_views": {"int": [2, 8]}}}, "no effect unless teacher_view is drawn"),
        (
            {
                "fixed": {"teacher_view": "plain"},
                "parameters": {"teacher_views": {"int": [2, 8]}},
            },
            "teacher_views is searched but has no effect",
        ),
        (
            {"fixed": {"method": "hfp", "allocate": "latency", "latency_budget": 0.4}},
            "prune_rate is searched but has no effect beside a fixed latency_budget; search latency_budget",
        ),
        ({"parameters": {"prune_rate": {"float": [0.3, 1.5]}}}, "prune_rate must be 0 <= rate < 1, got 1.5"),
        ({"parameters": {"input_size": {"choice": [[96, 48], [96]]}}}, "input_size must be"),
        ({"parameters": {"knn": {"choice": [2, "many"]}}}, "knn must be int, got 'many'"),
        ({"fixed": {"method": "bafd", "epochs": -1}}, "epochs must be at least 0"),
        ({"target": {"thread": 1}}, r"'thread'; did you mean threads\?"),
        ({"objectives": {"mAp": "maximize", "latency_ms": "minimize"}}, r"'mAp'; did you mean mAP\?"),
        ({"limits": ["latency <= 8"]}, r"'latency'; did you mean latency_"),
    ],
)
def test_spaces_that_cannot_work(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_space(make_space(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"quantization": {"choice": ["fp32", "int9"]}}}, "'int9'"),
        ({"fixed": {"method": "bafd", "backbone": "resnet19"}}, r"'resnet19'; did you mean resnet18\?"),
        ({"target": {"runtime": "tvm"}}, "'tvm'"),
    ],
)
def test_names_of_networks_and_schemes_are_known(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_space_names(make_space(**changes))


def test_limits_become_absolute(space: Space) -> None:
    space = make_space(limits=["latency_ms <= 0.5 * baseline", "mAP >= 0.6"])
    latency, accuracy = resolve_limits(space.parsed_limits(), {"latency_ms": 10.0, "mAP": 0.8})
    assert str(latency) == "latency_ms <= 5"
    assert latency.excess(7.0) == pytest.approx(2.0)
    assert accuracy.excess(0.7) == pytest.approx(-0.1)


def test_figures_of_the_footprint_need_its_measurement() -> None:
    limited = {"limits": ["peak_memory_mb <= 200", "throughput_8_per_s >= 100"]}
    with pytest.raises(ConfigError, match=r"peak_memory_mb of space tiny .* footprint: true"):
        check_space(make_space(**limited))
    fixed = {"backbone": "resnet18", "method": "bafd", "footprint": True}
    check_space(make_space(**limited, fixed=fixed))
