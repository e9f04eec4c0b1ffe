import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError, StudyDamaged
from results.record import RECORD_SCHEMA, Record, one_line, utc_now
from results.sealed import read_sealed, write_sealed
from tests.results.samples import failed_record, make_record

GOLDEN = Path(__file__).parent / "golden" / "record-v1.json"
GOLDEN_2 = GOLDEN.with_name("record-v2.json")

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_golden_file_is_read_and_written_alike(tmp_path: Path) -> None:
    """Schema 1, which knew wall time only, and stays what it is."""
    record = Record.from_dict(read_sealed(GOLDEN), GOLDEN)
    assert record == make_record(schema=1)
    assert write_sealed(tmp_path / "record.json", record.to_dict()).read_bytes() == GOLDEN.read_bytes()


def test_golden_file_of_schema_2_is_read_and_written_alike(tmp_path: Path) -> None:
    """Processor and GPU time, and a first attempt whose last stage was lost."""
    record = Record.from_dict(read_sealed(GOLDEN_2), GOLDEN_2)
    assert record.schema == RECORD_SCHEMA == 2
    assert [stage.get("lost", False) for stage in record.stages] == [False, True, False, False]
    assert record.stages[0]["gpu_seconds"] == 60.25
    assert write_sealed(tmp_path / "record.json", record.to_dict()).read_bytes() == GOLDEN_2.read_bytes()


def test_checksum_of_the_golden_file_is_that_of_its_canonical_body() -> None:
    body = json.loads(GOLDEN.read_text())
    stored = body.pop("sha256")
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == stored


@given(values=st.dictionaries(st.text(), plain, max_size=4), number=st.integers(-1, 10**7))
def test_json_gives_an_equal_record_back(values: dict[str, Any], number: int) -> None:
    record = make_record(number, params=values, config=values, curves=[values])
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_tuples_and_numpy_scalars_become_plain() -> None:
    record = make_record(
        params={"input_size": (128, 64), "knn": np.int64(3)},
        metrics={"mAP": np.float32(0.5), "macs": np.int64(7)},
    )
    assert record.params == {"input_size": [128, 64], "knn": 3}
    assert type(record.metrics["mAP"]) is float
    assert type(record.metrics["macs"]) is int


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_metric_that_is_not_finite_is_refused_by_name(value: float) -> None:
    with pytest.raises(ConfigError, match=r"metrics\.mAP must be a finite number"):
        make_record(metrics={"mAP": value})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"number": -2}, "number"),
        ({"number": 1.0}, "number"),
        ({"number": True}, "number"),
        ({"attempt": 0}, "attempt"),
        ({"status": "running"}, "status"),
        ({"metrics": {"mAP": "0.7"}}, "metrics.mAP"),
        ({"metrics": {"mAP": True}}, "metrics.mAP"),
        ({"metrics": [0.7]}, "metrics"),
        ({"violations": {"latency_ms <= 8": None}}, "violations"),
        ({"params": {1: 2}}, "a key of params"),
        ({"params": {"size": {128}}}, "params.size"),
        ({"latency_trusted": 1}, "latency_trusted"),
        ({"stages": [{"name": "dense"}]}, "stages"),
        ({"stages": [{"name": "dense", "key": "k", "seconds": -1.0, "cached": False}]}, "stages.seconds"),
        ({"stages": [{"name": "dense", "key": "k", "seconds": 1.0, "cached": 0}]}, "stages.cached"),
        ({"stages": "dense"}, "stages"),
        ({"curves": [1.0]}, "curves"),
        ({"artifact": "../elsewhere"}, "artifact"),
        ({"artifact": "/etc"}, "artifact"),
        ({"artifact": ""}, "artifact"),
        ({"started_at": "yesterday"}, "started_at"),
        ({"finished_at": "2026-11-21T08:00:00"}, "finished_at"),
        ({"finished_at": "2026-11-21T08:00:00+01:00"}, "finished_at"),
        ({"status": "failed"}, "error"),
        ({"error": {"kind": "ConfigError", "message": "no"}}, "error"),
        ({"status": "failed", "error": {"kind": "ConfigError"}}, "error"),
        ({"protocol": None}, "protocol"),
    ],
)
def test_a_wrong_value_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(make_record(), **changes)
    assert str(caught.value).startswith(named)
    assert "\n" not in str(caught.value)


def test_from_dict_is_strict_and_names_the_file() -> None:
    whole = make_record().to_dict()
    missing = {name: value for name, value in whole.items() if name != "metrics"}
    for values, part in (
        ({**whole, "colour": 1}, "unknown key 'colour'"),
        (missing, "missing key 'metrics'"),
        ({**whole, "attempt": 0}, "attempt must be at least 1"),
        ({**whole, "schema": RECORD_SCHEMA + 1}, "schema 3 is newer than 2"),
        ({**whole, "schema": 0}, "schema must be 1"),
        ({**whole, "schema": True}, "schema"),
    ):
        with pytest.raises(StudyDamaged, match=part) as caught:
            Record.from_dict(values, Path("trials/000012.json"))
        assert str(caught.value).startswith("trials/000012.json: ")


def test_feasible_needs_completion_and_no_broken_limit() -> None:
    assert make_record().feasible
    assert make_record(violations={"latency_ms <= 8": 0.0}).feasible
    assert not make_record(violations={"latency_ms <= 8": 0.5}).feasible
    assert not make_record(status="infeasible").feasible
    assert not failed_record(1).feasible


def test_the_message_of_an_error_becomes_one_printable_line() -> None:
    hostile = (
        "\x1b[31mred\x1b[0m\r\nnext\tline \x1b]0;title\x07end \u202eevil\u2028\x9b2Jx \ud800\x00" + "y" * 5000
    )
    error = failed_record(1, kind="Runtime\nError", message=hostile).error
    assert error is not None
    assert error["kind"] == "Runtime Error"
    assert error["message"].startswith("red next line end evil x \ufffd yyy")
    assert len(error["message"]) == 2000
    assert error["message"].endswith("…")


@given(text=st.text(alphabet=st.characters(), max_size=200), limit=st.integers(1, 50))
def test_one_line_is_printable_short_and_stable(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert one_line(line, limit) == line


def test_one_line_leaves_ordinary_text_alone() -> None:
    assert one_line("größer als 5 ms → langsam 行人") == "größer als 5 ms → langsam 行人"


def test_utc_now_is_what_a_record_takes() -> None:
    assert make_record(started_at=utc_now()).started_at.endswith("+00:00")
