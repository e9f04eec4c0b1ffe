"""Limits as text: parsing and resolving against a baseline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.config import Limit, broken
from reid.errors import ConfigError
from spaces import parse_limit

BASELINE = {"mAP": 0.7, "latency_ms": 12.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency_ms <= 8", ("latency_ms", "<=", 8.0)),
        ("mAP >= baseline - 0.10", ("mAP", ">=", 0.7 - 0.1)),
        ("latency_ms <= 0.5 * baseline", ("latency_ms", "<=", 6.0)),
        ("latency_ms<=.5*baseline+1", ("latency_ms", "<=", 7.0)),
        ("mAP >= baseline", ("mAP", ">=", 0.7)),
        ("size_bytes <= 1e6", ("size_bytes", "<=", 1e6)),
        ("mAP >= -0.5", ("mAP", ">=", -0.5)),
    ],
)
def test_limits_resolve(text: str, expected: tuple[str, str, float]) -> None:
    metric, operator, value = parse_limit(text).resolve(BASELINE)
    assert (metric, operator) == expected[:2]
    assert value == pytest.approx(expected[2])


@pytest.mark.parametrize(
    ("text", "baseline", "met"),
    [
        ("rank1 >= baseline - 0.1", 0.8, 0.7),
        ("size_bytes <= 0.57 * baseline", 100, 57),
        ("mAP >= baseline", 0.1234567890123456, 0.1234567890123456),
        ("mAP <= baseline", 0.1234567890123454, 0.1234567890123454),
    ],
)
def test_who_meets_a_relative_limit_exactly_is_not_refused(text: str, baseline: float, met: float) -> None:
    metric, operator, value = parse_limit(text).resolve(
        dict.fromkeys(("rank1", "size_bytes", "mAP"), baseline)
    )
    assert not broken((Limit(metric=metric, operator=operator, value=value),), {metric: met}, trusted=True)


@pytest.mark.parametrize(
    "text",
    ["mAP > 0.5", "mAP", "<= 3", "mAP >= baseline - ", "mAP >= 0.5 *", "mAP >= nan", "mAP >= inf", "a b <= 3",
     "mAP >= baseline * 0.5 extra", "mAP >= __import__('os')", "", "mAP >= 0 * baseline"],
)  # fmt: skip
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_limit(text)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)


def test_a_relative_limit_needs_the_metric_in_the_baseline() -> None:
    limit = parse_limit("macs <= 0.5 * baseline")
    with pytest.raises(ConfigError, match=r"no 'macs'.*latency_ms, mAP"):
        limit.resolve(BASELINE)
    assert parse_limit("macs <= 5").resolve({}) == ("macs", "<=", 5.0)


@given(
    factor=st.floats(0.01, 100),
    offset=st.floats(0, 1e6),
    sign=st.sampled_from("+-"),
    baseline=st.floats(-1e6, 1e6),
)
def test_the_value_is_linear_in_the_baseline(
    factor: float, offset: float, sign: str, baseline: float
) -> None:
    limit = parse_limit(f"latency_ms <= {factor!r} * baseline {sign} {offset!r}")
    expected = factor * baseline + (offset if sign == "+" else -offset)
    assert limit.resolve({"latency_ms": baseline})[2] == pytest.approx(expected, rel=1e-12, abs=1e-6)
    assert limit.relative
