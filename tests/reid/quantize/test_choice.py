import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from reid.quantize.choice import TIE, Candidate, choose


def candidate(name: str, latency_ms: float, error: float, drop: float) -> Candidate:
    return Candidate(name=name, float_layers=(), latency_ms=latency_ms, error=error, drop=drop)


FP32 = candidate("fp32", 2.0, 0.0, 0.0)
STATIC = candidate("int8-static", 3.0, 0.01, 0.001)


def test_the_faster_is_kept() -> None:
    assert choose([FP32, STATIC, candidate("cut", 1.5, 0.02, 0.002)], 0.01).name == "cut"


def test_the_fastest_that_costs_too_much_is_not() -> None:
    assert choose([FP32, STATIC, candidate("cut", 1.5, 0.02, 0.02)], 0.01).name == "fp32"


def test_of_two_as_fast_the_more_faithful_is_kept() -> None:
    assert choose([FP32, candidate("cut", 1.99, 0.02, 0.0)], 0.01).name == "fp32"


def test_nothing_allowed_is_an_error() -> None:
    with pytest.raises(ConfigError, match="raise max_quantization_drop"):
        choose([STATIC], 0.0001)


@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0, 1), st.floats(-0.1, 0.1)), max_size=6))
def test_what_is_kept_is_as_fast_as_all_that_are_allowed(rows: list[tuple[float, float, float]]) -> None:
    candidates = [FP32, *(candidate(f"{at}", *row) for at, row in enumerate(rows))]
    kept = choose(candidates, 0.01)
    assert kept.drop <= 0.01
    allowed = [one.latency_ms for one in candidates if one.drop <= 0.01]
    assert kept.latency_ms <= min(allowed) * (1 + TIE)
