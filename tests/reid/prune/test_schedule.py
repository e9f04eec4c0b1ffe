"""Schedules of the rate against their formulas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from reid.prune.schedule import SCHEDULES, share_of_rate


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 200), st.data())
def test_every_schedule_rises_to_one(name: str, epochs: int, data: st.DataObject) -> None:
    epoch = data.draw(st.integers(0, epochs - 1))
    share = share_of_rate(name, epoch, epochs)
    assert 0 < share <= 1
    assert share_of_rate(name, epochs - 1, epochs) == 1
    if epoch:
        assert share_of_rate(name, epoch - 1, epochs) <= share


def test_known_points() -> None:
    assert share_of_rate("asymptotic", 0, 8) == pytest.approx(0.75, abs=1e-9)
    assert share_of_rate("asymptotic", 3, 8) > 0.99
    assert share_of_rate("cubic", 0, 2) == pytest.approx(0.875)
    assert share_of_rate("constant", 0, 100) == 1


def test_unknown_schedules_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="unknown prune_schedule 'linear'; known: asymptotic, constant, cubic"
    ):
        share_of_rate("linear", 0, 1)
