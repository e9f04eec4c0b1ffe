"""What a network costs besides latency is that of a process of its own."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from reid.config import Target
from reid.errors import ArtifactError, ResourceError
from reid.runtime import footprint, open_artifact
from reid.runtime.footprint import measure_footprint
from tests.contract.deployment import tiny_artifact


@pytest.mark.parametrize("runtime", ["onnxruntime", "torchscript"])
def test_figures_are_those_of_a_fresh_process(tmp_path: Path, runtime: str) -> None:
    artifact = tiny_artifact(tmp_path)
    found = measure_footprint(
        tmp_path, Target(runtime=runtime, batch=3), beside=nullcontext, alone=nullcontext
    )
    assert found.size_bytes == artifact.size_bytes
    assert found.cold_start_ms > 50, "an interpreter alone takes that long to import numpy and a runtime"
    # This process has torch and a test suite in memory, a fresh one with ONNX Runtime has neither.
    assert found.peak_memory_mb < (300 if runtime == "onnxruntime" else 1500)
    assert {*found.images_per_second} == {1, 8, 32}
    assert found.to_dict()["images_per_second"][8] > 0


def test_a_file_that_does_not_open_elsewhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_artifact(tmp_path)
    monkeypatch.setattr(footprint.sys, "executable", "false")
    with pytest.raises(ArtifactError, match=r"model\.onnx does not open in a process of its own"):
        measure_footprint(tmp_path, Target(), beside=nullcontext, alone=nullcontext)


def test_a_process_that_hangs_does_not_keep_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_artifact(tmp_path)
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(footprint.sys, "executable", str(hanging))
    monkeypatch.setattr(footprint, "_LONGEST_S", 0.3)
    with pytest.raises(ResourceError, match=r"model\.onnx was not open after 0\.3 s"):
        measure_footprint(tmp_path, Target(), beside=nullcontext, alone=nullcontext)


def test_the_file_is_opened_beside_others_and_measured_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_artifact(tmp_path)
    seen: list[str] = []

    @contextmanager
    def hold(name: str) -> Iterator[None]:
        seen.append(name)
        yield
        seen.append(f"not {name}")

    def opened(*given: Any) -> Any:
        seen.append("open")
        return open_artifact(*given)

    monkeypatch.setattr(footprint, "open_artifact", opened)
    measure_footprint(tmp_path, Target(), beside=lambda: hold("beside"), alone=lambda: hold("alone"))
    assert seen == ["beside", "open", "open", "open", "not beside", "alone", "not alone"]
