"""Files that take pixels: one graph gives what normalising, mirroring and adding around the network gives."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from reid.config import Target
from reid.errors import ArtifactError
from reid.quantize import quantize
from reid.runtime import installed_runtimes, open_artifact
from reid.runtime.convert import convert
from tests.contract.deployment import people, tiny_artifact, tiny_network, torch_embeddings

TARGET = "onnxruntime-pixels"


def pixel_file(source: Path, folder: Path) -> Path:
    """The source, converted."""
    path = folder / "pixels.onnx"
    path.write_bytes(convert(source, TARGET)["model.onnx"])
    return path


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_pixels_in_give_the_same_embeddings(tmp_path: Path, flip: bool, count: int) -> None:
    source = tiny_artifact(tmp_path, flip=flip).path
    images = people(count)
    plain, fused = (open_artifact(path, Target()) for path in (source, pixel_file(source, tmp_path)))
    assert fused.spec == plain.spec
    np.testing.assert_allclose(fused.embed(images), plain.embed(images), atol=2e-6)
    fused.timer()()


@pytest.mark.parametrize("flip", [False, True])
def test_a_program_that_knows_nothing_of_us_feeds_bytes(tmp_path: Path, flip: bool) -> None:
    path = pixel_file(tiny_artifact(tmp_path, flip=flip).path, tmp_path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = people(3)
    found = session.run(None, {"pixels": images})[0]
    views = (images, np.ascontiguousarray(images[:, :, ::-1])) if flip else (images,)
    total = np.sum([torch_embeddings(tiny_network(), view) for view in views], axis=0)
    np.testing.assert_allclose(found, total / np.linalg.norm(total, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("scheme", ["int8-dynamic", "int8-static"])
def test_integer_networks_too(tmp_path: Path, scheme: str) -> None:
    source = quantize(tiny_artifact(tmp_path, flip=True), scheme, people(32), tmp_path / "int8.onnx").path
    plain, fused = (open_artifact(path, Target()) for path in (source, pixel_file(source, tmp_path)))
    assert fused.scheme == scheme
    images = people(9, seed=1)
    assert (plain.embed(images) * fused.embed(images)).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("runtime", [name for name in installed_runtimes() if name != "onnxruntime"])
def test_other_runtimes_say_what_opens_it(tmp_path: Path, runtime: str) -> None:
    path = pixel_file(tiny_artifact(tmp_path).path, tmp_path)
    with pytest.raises(ArtifactError, match="takes pixels, which onnxruntime alone opens"):
        open_artifact(path, Target(runtime=runtime))


def test_it_is_not_converted_again(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="use the package that it was exported from"):
        convert(pixel_file(tiny_artifact(tmp_path).path, tmp_path), TARGET)
