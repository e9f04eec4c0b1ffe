"""The snippet of docs/record-format.md runs as it stands."""

import re
from pathlib import Path

import pytest

from benchmarks.synthetic import synthetic_records
from results import commit, rebuild_table
from tests.results.samples import make_study

pytest.importorskip("pandas", reason="the notebook snippet needs pandas")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "record-format.md"


def test_notebook_snippet_runs_and_finds_the_front(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for record in synthetic_records(30):
        commit(study, record)
    rebuild_table(study)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    number = study.front()[0].number
    asked = snippet.replace("studies/osnet", str(study.path)).replace("checks[7]", f"checks[{number}]")
    found: dict[str, object] = {}
    exec(asked, found)  # the page's own words
    assert [int(n) for n in found["front"]["number"]] == [record.number for record in study.front()]  # type: ignore[index]
    assert found["samples"] == study.record(number).checks["latency"]["samples_ms"]


def test_every_column_of_the_table_is_described(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for record in synthetic_records(30):
        commit(study, record)
    described = set(re.findall(r"`([a-z_.]+)`", PAGE.read_text().split("## `trials.parquet`")[1]))
    columns = {
        name
        for name in study.table().column_names
        if not name.startswith(("params.", "metrics.", "violations.", "seconds."))
    }
    assert columns <= described
