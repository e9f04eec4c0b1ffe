"""Packages of somebody who knows how manifests are made: all of it is refused, and nothing else goes wrong."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.errors import UnverifiedError
from results.reference import compare_reference, write_reference
from results.sealed import read_sealed, seal
from results.verify import verify
from tests.results.conftest import embedder
from tests.results.test_package import reseal


@pytest.mark.parametrize(
    "asked",
    [
        {"count": 10**12},
        {"count": 5, "height": 1024, "width": 1024},
        {"height": -(10**9)},
        {"count": [1], "height": 10**12},
        {"seed": 10**30},
        {"width": 1.5},
    ],
)
def test_reference_images_that_would_fill_the_memory_are_refused(
    package: Path, asked: dict[str, object]
) -> None:
    path = package / "reference.json"
    content = json.loads(path.read_text())
    content["images"] |= asked
    path.write_text(json.dumps(content))
    reseal(package)
    with pytest.raises(UnverifiedError, match="cannot be read as reference embeddings"):
        verify(package, embedder(package / "model.onnx"))


@pytest.mark.parametrize("content", ["[" * 100_000, " " * 5_000_000, '{"images": 1}'])
def test_a_reference_that_cannot_be_parsed_is_refused(package: Path, content: str) -> None:
    (package / "reference.json").write_text(content)
    reseal(package)
    with pytest.raises(UnverifiedError, match="cannot be read as reference embeddings"):
        verify(package, embedder(package / "model.onnx"))


def test_the_largest_pictures_that_a_trial_may_take_are_not_too_many(tmp_path: Path) -> None:
    def mean_colours(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return images.mean(axis=(1, 2), dtype=np.float32)

    write_reference(tmp_path / "reference.json", (1024, 1024), mean_colours)
    assert compare_reference(tmp_path / "reference.json", mean_colours) == pytest.approx(1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "utf-8-sig"])
def test_a_manifest_in_another_encoding_is_refused(package: Path, encoding: str) -> None:
    path = package / "manifest.json"
    path.write_text(path.read_text(), encoding=encoding)
    with pytest.raises(UnverifiedError, match="is altered"):
        verify(package)


@pytest.mark.parametrize("depth", [300, 400, 900, 990, 995, 100_000])
def test_a_manifest_with_much_inside_each_other_is_refused(package: Path, depth: int) -> None:
    """Deep in the one or the other of the readers."""
    nested = "[" * depth + "]" * depth
    body = f'{{"files":{nested},"kind":"reid-pareto package","schema":1}}'
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    (package / "manifest.json").write_text(
        f'{{"files":{nested},"sha256":"{sha256}",{body.split(nested)[1][1:]}'
    )
    with pytest.raises(UnverifiedError, match="is altered"):
        verify(package)


@pytest.mark.parametrize(
    "name", ["weights.pkl", "model.pth", "run.sh", "libcustom.so", "setup.py", "embed.py.bak"]
)
def test_a_kind_of_file_that_runs_is_refused_though_the_manifest_lists_it(package: Path, name: str) -> None:
    (package / name).write_bytes(b"")
    reseal(package)
    with pytest.raises(UnverifiedError, match=r"is no kind of file that a package holds"):
        verify(package)


def test_another_program_is_told_though_the_manifest_fits(package: Path) -> None:
    assert verify(package).program_known
    (package / "embed.py").write_text("print('pwned')\n")
    reseal(package)
    assert not verify(package).program_known


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd.json", "more/inside.json"])
def test_a_name_that_points_elsewhere_is_refused(package: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.json").write_text("{}")
    manifest = read_sealed(package / "manifest.json")
    manifest["files"][name] = manifest["files"]["metrics.json"]
    text = json.dumps(seal(manifest), indent=2, sort_keys=True) + "\n"
    (package / "manifest.json").write_text(text)
    with pytest.raises(UnverifiedError, match="is missing"):
        verify(package)
