"""All records as one table (`trials.parquet`), and tables as CSV that no spreadsheet runs."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from results.record import Record

__all__ = ["csv_text", "table_of"]


def table_of(records: Iterable[Record]) -> pa.Table:
    """One row per record, in the order given.

    Columns: number, attempt, status, feasible, latency_trusted, started_at, finished_at, seconds, cpu_seconds,
    gpu_seconds (of all stages), artifact, error.kind, error.message, protocol; then `params.NAME` (searched),
    `metrics.NAME`, `violations.LIMIT`, `seconds.STAGE`, each for every name that occurs, null where a record has
    none; last `config`, `checks`, `worker` and `versions` as JSON texts. A column whose values are not all of one
    simple type holds texts: lists and mixtures as JSON.
    """
    rows = [_row(record) for record in records]
    names = [*_FIXED, *sorted({name for row in rows for name in row} - {*_FIXED, *_DOCUMENTS}), *_DOCUMENTS]
    return pa.table({name: _column(name, [row.get(name) for row in rows]) for name in names})


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV with a header line.

    A cell that a spreadsheet could take for a formula (it begins with = + - @, tab or carriage return, and is
    no plain number) is prefixed with an apostrophe, and so is one that begins with an apostrophe: taking one
    leading apostrophe away gives every text back. None is an empty cell, a list is JSON.
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in (columns, *rows))


_FIXED = {
    "number": pa.int64(), "attempt": pa.int64(), "status": pa.string(), "feasible": pa.bool_(),
    "latency_trusted": pa.bool_(), "started_at": pa.string(), "finished_at": pa.string(),
    "seconds": pa.float64(), "cpu_seconds": pa.float64(), "gpu_seconds": pa.float64(),
    "artifact": pa.string(), "error.kind": pa.string(), "error.message": pa.string(),
    "protocol": pa.string(),
}  # fmt: skip
_DOCUMENTS = ("config", "checks", "worker", "versions")
_MEASURED = ("metrics.", "violations.", "seconds.")
_SIMPLE: tuple[tuple[set[type], Any], ...] = (
    ({bool}, pa.bool_()),
    ({int}, pa.int64()),
    ({int, float}, pa.float64()),
    ({str}, pa.string()),
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _row(record: Record) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _FIXED if hasattr(record, name)}
    for name in ("seconds", "cpu_seconds", "gpu_seconds"):
        row[name] = float(sum(stage.get(name, 0.0) for stage in record.stages))
    row |= {f"error.{key}": text for key, text in (record.error or {}).items()}
    for group in ("params", "metrics", "violations"):
        row |= {f"{group}.{name}": value for name, value in getattr(record, group).items()}
    for stage in record.stages:
        name = f"seconds.{stage['name']}"
        row[name] = row.get(name, 0.0) + stage["seconds"]
    row |= {name: json.dumps(getattr(record, name), sort_keys=True) for name in _DOCUMENTS}
    return row


def _column(name: str, values: list[Any]) -> pa.Array:
    if name in _FIXED:
        return pa.array(values, type=_FIXED[name])
    if name.startswith(_MEASURED):
        return pa.array(values, type=pa.float64(), from_pandas=False)
    kinds = {type(value) for value in values if value is not None}
    for simple, arrow in _SIMPLE:
        # An int beyond 64 bits fits no Arrow number; as text it stays exact.
        if kinds <= simple and not any(type(v) is int and abs(v) >= 2**63 for v in values):
            return pa.array(values, type=arrow)
    texts = [
        None if v is None else v if isinstance(v, str) else json.dumps(v, sort_keys=True) for v in values
    ]
    return pa.array(texts, type=pa.string())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    # csv.writer of Python 3.11 leaves a lone carriage return bare, which splits the row in two.
    if not text or any(character in text for character in '",\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
