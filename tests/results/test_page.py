import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.synthetic import synthetic_records
from results.cost import saved_seconds
from results.hypervolume import hypervolume
from results.page_detail import histogram
from results.page_importance import LEAST_TRIALS, importance, variance_shares
from results.page_story import ledger, volume_over_time
from results.study import front_of, objective_values
from tests.results.conftest import trial

OBJECTIVES = {"mAP": "maximize", "latency_ms": "minimize"}


def test_a_parameter_that_decides_explains_all_and_noise_nothing() -> None:
    random = np.random.default_rng(0)
    scheme = random.choice(["a", "b"], 200).tolist()
    noise = random.random(200).tolist()
    values = np.array([1.0 if s == "a" else 2.0 for s in scheme])
    shares = {
        s.name: s for s in variance_shares(values, {"noise": noise, "scheme": scheme, "fixed": [1] * 200})
    }
    assert shares["scheme"].share == 1.0
    assert shares["noise"].share <= shares["noise"].chance
    assert "fixed" not in shares


def test_share_equals_the_analysis_of_variance() -> None:
    from scipy.stats import f_oneway

    random = np.random.default_rng(1)
    groups = [random.normal(mean, 1, 30) for mean in (0, 0.5, 1)]
    found = f_oneway(*groups).statistic
    labels = ["x"] * 30 + ["y"] * 30 + ["z"] * 30
    (share,) = variance_shares(np.concatenate(groups), {"group": labels})
    # F = (eta2 / (k - 1)) / ((1 - eta2) / (n - k)); epsilon2 = 1 - (1 - eta2) (n - 1) / (n - k)
    eta2 = 2 * found / (2 * found + 87)
    assert share.share == pytest.approx(1 - (1 - eta2) * 89 / 87)


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats(0, 1), st.floats(-9, 9)), max_size=40))
@example([(0, None, 0.0), (0, None, 3.3394091714763517e-236), (1, None, 0.0)])
def test_shares_are_shares_whatever_comes(rows: list[tuple[int, float | None, float]]) -> None:
    values = np.array([row[2] for row in rows])
    for share in variance_shares(values, {"a": [r[0] for r in rows], "b": [r[1] for r in rows]}):
        assert 0 <= share.share <= 1
        assert 0 <= share.chance <= 1


def test_few_trials_say_nothing() -> None:
    records = [trial(n, 0.5 + 0.01 * n, 2.0 + n) for n in range(LEAST_TRIALS)]
    assert importance(records[:-1], "mAP") == (LEAST_TRIALS - 1, ())
    assert importance(records, "mAP")[1]
    assert importance(records, "nothing") == (0, ())


def test_the_formula_behind_synthetic_trials_is_found() -> None:
    records = synthetic_records(400)
    count, shares = importance(records, "latency_ms")
    assert count == sum("latency_ms" in record.metrics for record in records)
    assert {share.name for share in shares if share.share > share.chance} >= {
        "prune_rate",
        "input_size",
        "quantization",
    }
    assert all(share.share < 0.05 for share in shares if share.name in ("knn", "decay_rate"))


def test_volume_over_time_ends_where_the_study_ends() -> None:
    records = synthetic_records(120, seed=3)
    reference = {"mAP": 0.0, "latency_ms": 16.0}
    line = volume_over_time(records, OBJECTIVES, reference)
    assert [moment[0] for moment in line] == list(range(1, 121))
    for count in (1, 40, 120):
        values = objective_values(front_of(records[:count], OBJECTIVES), OBJECTIVES)
        expected = hypervolume(values, list(OBJECTIVES.values()), [0.0, 16.0])
        assert line[count - 1][2] == pytest.approx(expected)
    assert line[-1][1] == pytest.approx((119 * 6 + 11) / 60)
    assert len(volume_over_time(synthetic_records(1000), OBJECTIVES, reference)) == 200
    assert volume_over_time([], OBJECTIVES, reference) == []


def test_ledger_adds_up() -> None:
    records = synthetic_records(40)
    found = ledger(records)
    spent = sum(stage["seconds"] for record in records for stage in record.stages)
    assert sum(seconds for *_, seconds in found["stages"]) == pytest.approx(spent, abs=1)
    assert sum(runs + cached for _, runs, cached, _ in found["stages"]) == sum(len(r.stages) for r in records)
    assert found["saved"] == pytest.approx(saved_seconds(records), abs=0.1)
    assert found["wall"] == (39 * 6 + 11) * 60
    assert found["hosts"] == ["node-0", "node-1", "node-2"]
    assert ledger([]) == {"stages": [], "saved": 0.0, "wall": 0.0, "hosts": []}


@given(st.lists(st.floats(0.01, 1000), min_size=2, max_size=300))
def test_histogram_counts_every_sample(samples: list[float]) -> None:
    found = histogram(samples)
    assert found is not None
    assert sum(found["counts"]) + found["above"] == len(samples)
    assert len(found["counts"]) == 24
    assert found["above"] <= len(samples) / 100
    assert math.isfinite(found["to"])


def test_histogram_equals_numpy_s() -> None:
    samples = np.random.default_rng(0).gamma(2, 1, 1000)
    found = histogram(samples.tolist())
    assert found is not None
    high = np.sort(samples)[989]
    assert found["counts"] == np.histogram(samples, bins=24, range=(samples.min(), high))[0].tolist()
    assert (found["from"], found["to"]) == pytest.approx((samples.min(), high), rel=1e-4)
    assert found["above"] == 10


@pytest.mark.parametrize("samples", [(), [1.0], "12", None, [1.0, "2"], {"a": 1}])
def test_no_histogram_of_what_is_no_timing(samples: object) -> None:
    assert histogram(samples) is None
