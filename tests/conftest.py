"""Fixtures shared by all rooms."""

import os
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

from reid.timing import kernel, sampling

# How long a test takes says how busy the machine is.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the Market-1501 archive and trained weights; tests skip where it is absent."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("REID_PARETO_DATA", default))
    if not (folder / "Market-1501-v15.09.15.zip").is_file():
        pytest.skip(f"real data absent: no Market-1501-v15.09.15.zip in {folder} (set REID_PARETO_DATA)")
    return folder


@pytest.fixture(autouse=True)
def private_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has device locks and latencies of its own, so that nothing on the same machine slows or feeds it."""
    monkeypatch.setenv("REID_PARETO_LOCKS", str(tmp_path_factory.mktemp("locks")))
    monkeypatch.setenv("REID_PARETO_LATENCIES", str(tmp_path_factory.mktemp("latencies")))


@pytest.fixture
def hasty_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timings are short, and one that a busy machine disturbs is not tried again."""
    for name in ("measure", "compare"):
        module = import_module(f"reid.timing.{name}")
        monkeypatch.setattr(module, "MOST_ATTEMPTS", 1)
        monkeypatch.setattr(module, "_LONGEST_SAMPLING_S", 0.2)
    monkeypatch.setattr(sampling, "_LONGEST_WARM_UP_S", 0.2)
    monkeypatch.setattr(kernel, "_VALUES_AT_START", 3)
