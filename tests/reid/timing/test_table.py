"""Latencies measured before: equal networks are found, nothing else is, and nothing doubtful is kept."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from reid.timing import Latency, LatencyTable

NETWORK: dict[str, Any] = {"widths": {"conv1": 16}, "scheme": "fp32", "target": {"threads": 1}}
LATENCY = Latency(
    latency_ms=1.5, p10_ms=1.4, p90_ms=1.6, samples_ms=(1.4, 1.5, 1.6), trusted=True, reason="", kernel_drift=0.01,
    kernel_ms=(2.0, 2.1), attempts=1, waited_s=0.0, ratio=0.5, reference_ms=3.0,
)  # fmt: skip
FIGURES = {"latency_ms": 1.5, "size_bytes": 1000.0}


def test_an_equal_network_is_found_by_every_table_of_the_folder(tmp_path: Path) -> None:
    LatencyTable(tmp_path).keep(NETWORK, FIGURES, LATENCY)
    assert LatencyTable(tmp_path).find(dict(reversed(NETWORK.items()))) == (FIGURES, LATENCY)


@pytest.mark.parametrize(
    "change", [{"widths": {"conv1": 32}}, {"scheme": "int8-static"}, {"target": {"threads": 2}}]
)
def test_another_network_is_not(change: dict[str, Any], tmp_path: Path) -> None:
    table = LatencyTable(tmp_path)
    table.keep(NETWORK, FIGURES, LATENCY)
    assert table.find({**NETWORK, **change}) is None


def test_a_doubtful_latency_is_not_kept(tmp_path: Path) -> None:
    table = LatencyTable(tmp_path)
    table.keep(NETWORK, FIGURES, dataclasses.replace(LATENCY, trusted=False, reason="spread"))
    assert table.find(NETWORK) is None


@pytest.mark.parametrize(("kernel_ms", "found"), [(2.05, True), (None, True), (1.7, False), (2.4, False)])
def test_a_latency_of_another_pace_is_measured_again(
    kernel_ms: float | None, found: bool, tmp_path: Path
) -> None:
    table = LatencyTable(tmp_path)
    table.keep(NETWORK, FIGURES, LATENCY)
    assert (table.find(NETWORK, kernel_ms) is not None) == found


def test_a_damaged_entry_is_measured_again(tmp_path: Path) -> None:
    table = LatencyTable(tmp_path)
    table.keep(NETWORK, FIGURES, LATENCY)
    (file,) = tmp_path.glob("*.json")
    for content in ("", "{", "[]", '{"figures": {}}', file.read_text().replace("p10_ms", "p11_ms")):
        file.write_text(content)
        assert table.find(NETWORK) is None
    table.keep(NETWORK, FIGURES, LATENCY)
    assert table.find(NETWORK) is not None


def test_the_folder_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_PARETO_LATENCIES", str(tmp_path / "here"))
    LatencyTable().keep(NETWORK, FIGURES, LATENCY)
    assert len(list((tmp_path / "here").glob("*.json"))) == 1


def test_a_folder_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    table = LatencyTable(tmp_path / "file" / "latencies")
    table.keep(NETWORK, FIGURES, LATENCY)
    assert table.find(NETWORK) is None
    assert "set REID_PARETO_LATENCIES to a folder" in caplog.text
