import csv
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.table import csv_text, table_of
from tests.results.samples import failed_record, make_record


def test_each_record_is_a_row_with_null_where_it_has_nothing() -> None:
    records = [make_record(3), failed_record(4), make_record(5, violations={"latency_ms <= 4": 0.81})]
    table = table_of(records)
    rows = table.to_pylist()
    assert [row["number"] for row in rows] == [3, 4, 5]
    assert [row["status"] for row in rows] == ["complete", "failed", "complete"]
    assert [row["feasible"] for row in rows] == [True, False, False]
    assert [row["metrics.mAP"] for row in rows] == [0.7134, None, 0.7134]
    assert [row["violations.latency_ms <= 4"] for row in rows] == [None, None, 0.81]
    assert [row["error.kind"] for row in rows] == [None, "ConfigError", None]
    assert [row["seconds"] for row in rows] == [61.75, 0.0, 61.75]
    assert [row["seconds.prune"] for row in rows] == [61.5, None, 61.5]
    assert json.loads(rows[0]["config"]) == records[0].config


def test_columns_have_the_type_of_their_values() -> None:
    records = [
        make_record(
            0, params={"rate": 1, "flag": True, "size": [128, 64], "mixed": 1, "name": "a", "huge": 2**70}
        ),
        make_record(1, params={"rate": 0.5, "flag": False, "size": [64, 32], "mixed": "b", "only": 3}),
    ]
    table = table_of(records)
    types = {
        name: table.schema.field(f"params.{name}").type for name in ("rate", "flag", "size", "mixed", "only")
    }
    assert types == {
        "rate": pa.float64(), "flag": pa.bool_(), "size": pa.string(), "mixed": pa.string(),
        "only": pa.int64(),
    }  # fmt: skip
    assert table.column("params.size").to_pylist() == ["[128, 64]", "[64, 32]"]
    assert table.column("params.mixed").to_pylist() == ["1", "b"]
    assert table.column("params.huge").to_pylist() == [str(2**70), None]
    assert table.schema.field("metrics.macs").type == pa.float64()


def test_no_records_are_an_empty_table() -> None:
    table = table_of([])
    assert table.num_rows == 0
    assert table.schema.field("number").type == pa.int64()


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "\rx", "'quoted", "=", "-", "+1.5x", "--1"]
)
def test_x7_a_cell_that_could_be_a_formula_is_defused(text: str) -> None:
    assert cells([text]) == [f"'{text}"]


@pytest.mark.parametrize("value", [-1.5, 3, 1e-9, "-1.5", "+2", "-1e-05", "plain", "a=b", ""])
def test_x7_numbers_and_ordinary_texts_stay(value: Any) -> None:
    assert cells([value]) == [str(value)]


@given(text=st.text())
def test_x7_taking_one_apostrophe_away_gives_the_text_back(text: str) -> None:
    cell = cells([text])[0]
    assert cell.removeprefix("'") == text
    assert cell[:1] not in tuple("=@\t\r")


def test_csv_writes_nothing_lists_and_truth() -> None:
    assert csv_text(["a", "b", "c"], [[None, [128, 64], True]]) == 'a,b,c\n,"[128, 64]",true\n'


def cells(values: list[Any]) -> list[str]:
    """The one row, as a CSV reader sees it."""
    text = csv_text([f"c{index}" for index in range(len(values))], [values])
    return list(csv.reader(io.StringIO(text, newline="")))[1]
