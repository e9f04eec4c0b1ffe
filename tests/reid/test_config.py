"""The trial's configuration: what it accepts, what it refuses, and how it says so."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.config import Limit, Target, TrialConfig, broken, reject_unknown
from reid.errors import ConfigError


@given(
    prune_rate=st.floats(0, 0.99),
    knn=st.integers(2, 9),
    size=st.tuples(st.integers(32, 512), st.integers(16, 512)),
    round_to=st.none() | st.integers(1, 32),
)
def test_plain_values_and_back(
    prune_rate: float, knn: int, size: tuple[int, int], round_to: int | None
) -> None:
    config = TrialConfig(prune_rate=prune_rate, knn=knn, input_size=size, round_to=round_to)
    assert TrialConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prune_rte": 0.5}, "unknown setting 'prune_rte'; did you mean prune_rate?"),
        ({"prune_rate": 1.0}, "prune_rate must be 0 <= rate < 1, got 1.0"),
        ({"prune_rate": "half"}, "prune_rate must be float, got 'half'"),
        ({"knn": True}, "knn must be int, got True"),
        ({"knn": 1}, "knn must be at least 2, got 1"),
        ({"input_size": [128]}, "input_size must be [height, width] in pixels, got [128]"),
        ({"input_size": [128, 8]}, "input_size must be (height, width) between"),
        ({"scope": "outer"}, "scope must be inner or grouped, got 'outer'"),
        ({"prune_epochs": -1}, "prune_epochs must be at least 0, got -1"),
        ({"milestones": 40}, "milestones must be a list of whole numbers, got 40"),
        ({"learning_rate": 0}, "learning_rate must be above 0, got 0.0"),
        ({"finetune_learning_rate": float("nan")}, "finetune_learning_rate must be above 0, got nan"),
        (
            {"max_quantization_drop": -0.01},
            "max_quantization_drop must be a finite number >= 0; 1 allows any drop, got",
        ),
        ({"compile": 1}, "compile must be bool, got 1"),
        ({"last_stride": "1"}, "last_stride must be int or NoneType, got '1'"),
        ({"optimizer": "SGD"}, "optimizer must be adam, adamw or sgd, got 'SGD'"),
        ({"loss": {"softmax": "1"}}, "loss.softmax must be a number, got '1'"),
        ({"loss": {}}, "loss must name at least one term"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"target": {"thread": 2}}, "unknown key of target 'thread'; did you mean threads?"),
        ({"seed": 2**63}, "seed must be at most 9223372036854775807"),
        ({"target": {"threads": 0}}, "target.threads must be at least 1, got 0"),
        ({"target": {"threads": "two"}}, "target.threads must be int, got 'two'"),
        ({"target": {"threads": 100_000}}, "target.threads must be at most 1024, got 100000"),
        ({"target": {"batch": 1.5}}, "target.batch must be int, got 1.5"),
        ({"target": {"device": "gpu"}}, "target.device must be cpu or cuda:N, got 'gpu'"),
        ({"target": {"device": 0}}, "target.device must be str, got 0"),
        ({"target": 7}, "target must be a runtime's name or a mapping"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        TrialConfig.from_dict(values)


def test_whole_numbers_are_fine_where_a_fraction_is_asked() -> None:
    assert TrialConfig.from_dict({"prune_rate": 0}).prune_rate == 0.0


def test_a_loss_may_be_a_mapping_of_terms_to_weights() -> None:
    given = {"softmax": 1, "triplet": 1.0, "circle": 0.5}
    losses = {"loss": given, "finetune_loss": {"softmax": 2}, "qat_loss": {"distill-cosine": 1}}
    config = TrialConfig.from_dict(losses)
    assert config.qat_loss == "distill-cosine"
    assert (config.loss, config.finetune_loss) == ("softmax+triplet+0.5*circle", "2*softmax")


def test_lists_become_tuples_and_go_back_to_lists() -> None:
    config = TrialConfig.from_dict({"schedule": "step", "milestones": [3, 5], "input_size": [64, 32]})
    assert (config.milestones, config.input_size) == ((3, 5), (64, 32))
    assert config.to_dict()["milestones"] == [3, 5]


def test_a_dense_network_needs_no_prune_epochs() -> None:
    assert TrialConfig(method="none", prune_epochs=0).target == Target()


@pytest.mark.parametrize(
    ("operator", "measured", "excess"),
    [("<=", 5.0, 1.0), ("<=", 3.0, -1.0), (">=", 3.0, 1.0), (">=", 4.0, 0.0)],
)
def test_limit_tells_by_how_much_it_is_broken(operator: str, measured: float, excess: float) -> None:
    limit = Limit(metric="latency_ms", operator=operator, value=4.0)  # type: ignore[arg-type]
    assert limit.excess(measured) == excess
    assert str(limit) == f"latency_ms {operator} 4"


def test_a_latency_that_may_be_wrong_breaks_a_limit_only_by_far() -> None:
    limits = [Limit(metric=name, operator="<=", value=4.0) for name in ("latency_ms", "size_bytes")]
    slow, slower = ({"latency_ms": value, "size_bytes": 4.1} for value in (4.9, 5.1))
    assert broken(limits, slow, trusted=False) == {"size_bytes <= 4": pytest.approx(0.1)}
    assert set(broken(limits, slower, trusted=False)) == set(broken(limits, slow, trusted=True))
    rate = Limit(metric="throughput_per_s", operator=">=", value=100.0)
    assert broken([rate], {"throughput_per_s": 80.0}, trusted=False) == {}
    assert broken([rate], {"throughput_per_s": 70.0}, trusted=False) == {"throughput_per_s >= 100": 30.0}
    assert broken([rate], {}, trusted=True) == {}
    cold = Limit(metric="cold_start_ms", operator="<=", value=100.0)
    assert broken([cold], {"cold_start_ms": 120.0}, trusted=False) == {}
    assert broken([cold], {"cold_start_ms": 130.0}, trusted=False) == {"cold_start_ms <= 100": 30.0}


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        ConfigError, match=re.escape("unknown backbone 'resnet81'; did you mean resnet18? known: ")
    ):
        reject_unknown(["resnet81"], ["osnet_x0_25", "resnet18"], "backbone")


def test_a_number_too_large_for_a_fraction_is_refused() -> None:
    with pytest.raises(ConfigError, match="prune_rate has too many digits"):
        TrialConfig.from_dict({"prune_rate": 10**400})


def test_what_is_held_at_zero_needs_an_epoch_before_it() -> None:
    with pytest.raises(ConfigError, match="zero_epochs must be below prune_epochs, got 2"):
        TrialConfig.from_dict({"method": "sfp", "prune_epochs": 2, "zero_epochs": 2})


def test_target_by_the_name_of_its_runtime() -> None:
    assert TrialConfig.from_dict({"target": "openvino"}).target == Target(runtime="openvino")
    with pytest.raises(ConfigError, match="a runtime's name or a mapping"):
        TrialConfig.from_dict({"target": ["openvino"]})
