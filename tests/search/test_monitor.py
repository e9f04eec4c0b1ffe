"""What people see."""

import io

import pytest
from rich.console import Console

from results import Record
from search.monitor import Monitor


def record(number: int, **changes: object) -> Record:
    values: dict[str, object] = {
        "number": number, "status": "complete", "params": {"prune_rate": 0.5, "input_size": [128, 64]}, "config": {},
        "metrics": {"mAP": 0.5, "latency_ms": 10.0 if number < 0 else 4.0}, "latency_trusted": True,
        "stages": [{"name": "train", "key": "", "seconds": 2.5, "cached": False}],
        "started_at": "2026-01-01T00:00:00+00:00", "finished_at": "2026-01-01T00:00:01+00:00",
    }  # fmt: skip
    return Record(**{**values, **changes})  # type: ignore[arg-type]


def test_every_trial_is_one_line_without_markup_or_escapes() -> None:
    shown = io.StringIO()
    monitor = Monitor(Console(file=shown, width=500), 3, {"mAP": "maximize", "latency_ms": "minimize"})
    with monitor:
        monitor.started(-1, {})
        monitor.begin(record(-1), [])
        monitor.started(0, {})
        monitor.heard(0, "finetune: 3 s")
        monitor.committed(record(0))
        error = {"kind": "RuntimeError", "message": "[red]boom[/red] \x1b[31m\nsecond"}
        monitor.troubled(1, {"kind": "WorkerLost", "message": "gone"}, "retry")
        monitor.committed(record(1, status="failed", error=error, metrics={}))
        monitor.committed(record(2, metrics={"mAP": 0.9, "latency_ms": 12.0}, latency_trusted=False))
        monitor.summary()
    lines = shown.getvalue().splitlines()
    assert lines == [
        "baseline mAP 0.5 latency_ms 10 2.5 s",
        "#0 mAP 0.5 latency_ms 4 complete 2.5 s prune_rate=0.5 input_size=128x64",
        "#1 WorkerLost: gone (is run again)",
        "#1 mAP - latency_ms - failed 2.5 s prune_rate=0.5 input_size=128x64 RuntimeError: [red]boom[/red] second",
        "#2 mAP 0.9 latency_ms 12 complete (latency untrusted) 2.5 s prune_rate=0.5 input_size=128x64",
        # (0.5 - 0) x (10 - 4), the untrusted trial left out
        "3 of 3 trials committed, front 1, hypervolume 3",
    ]


def test_signs_of_life_do_not_measure_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    monkeypatch.setattr("search.monitor.hypervolume", lambda *_: measured.append(1) or 1.0)
    monitor = Monitor(Console(quiet=True), 2, {"mAP": "maximize", "latency_ms": "minimize"})
    with monitor:
        monitor.begin(record(-1), [])
        monitor.started(0, {})
        for _ in range(5):
            monitor.heard(0, "finetune")
        monitor.committed(record(0))
    assert len(measured) == 2


def test_a_terminal_gets_a_bar() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=160, force_terminal=True)
    monitor = Monitor(console, 2, {"mAP": "maximize", "latency_ms": "minimize"})
    with monitor:
        monitor.begin(record(-1), [])
        monitor.started(0, {})
        monitor.committed(record(0))
    text = shown.getvalue()
    assert "1/2" in text
    assert "ETA 0:00:" in text
    assert "front 1" in text
