"""T9: failures alike, one after the other."""

from reid.errors import SearchPaused
from search.failures import FailureRun
from tests.results.samples import failed_record, make_record


def fail(number: int, message: str, rate: float | None = None) -> object:
    return failed_record(number, message=message).__class__(
        **{**failed_record(number, message=message).to_dict(), "params": {"prune_rate": rate or number / 10}}
    )


def test_t9_three_alike_from_different_settings_are_a_diagnosis() -> None:
    run = FailureRun(3)
    assert run.add(fail(0, "cannot open /data/a.jpg at 17")) is None
    assert run.add(fail(1, "cannot open /data/b.jpg at 3")) is None
    said = run.add(fail(2, "cannot open /data/c.jpg at 5"))
    assert said is not None
    assert said.startswith(
        "trials 0, 1, 2 with different settings failed alike, the last with ConfigError: cannot"
    )
    assert "--max-identical-failures 0" in said
    assert SearchPaused(said).exit_code == 2


def test_t9_the_same_settings_or_other_failures_are_none() -> None:
    run = FailureRun(3)
    for number in range(5):
        assert run.add(fail(number, "no memory", rate=0.5)) is None
    for number in range(4):
        assert run.add(fail(number, f"{'ab'[number % 2]} is wrong")) is None
        assert run.add(fail(number, "x")) is None
    assert run.add(fail(8, "x")) is None
    assert run.add(make_record(9)) is None
    assert run.add(fail(10, "x")) is None


def test_t9_can_be_switched_off() -> None:
    run = FailureRun(0)
    assert [run.add(fail(number, "x")) for number in range(10)] == [None] * 10
