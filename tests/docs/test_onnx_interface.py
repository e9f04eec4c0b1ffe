"""docs/pick-and-ship.md says of a shipped ONNX file what a program in another language has to know."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from reid.quantize import SCHEMES, quantize
from tests.contract.deployment import SPEC, tiny_artifact
from tests.docs.blocks import ROOT

SECTION = (ROOT / "docs" / "pick-and-ship.md").read_text().split("## The ONNX file")[1].split("\n## ")[0]
ROWS = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", SECTION, re.MULTILINE))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_file_of_every_scheme_is_what_the_page_says(scheme: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, SPEC.height, SPEC.width, 3), dtype=np.uint8)
    artifact = tiny_artifact(tmp_path)
    model = onnx.load(quantize(artifact, scheme, images, tmp_path / f"{scheme}.onnx").path)
    (taken,), (given,) = model.graph.input, model.graph.output
    assert f"`{taken.name}`, (N, 3, height, width) float32" in ROWS["input"]
    assert f"`{given.name}`, (N, D) float32" in ROWS["output"]
    assert {value.type.tensor_type.elem_type for value in (taken, given)} == {onnx.TensorProto.FLOAT}
    batch, *rest = taken.type.tensor_type.shape.dim
    assert batch.dim_param
    assert [side.dim_value for side in rest] == [3, SPEC.height, SPEC.width]
    (standard,) = model.opset_import
    assert standard.domain == ""
    assert f"opset {standard.version}, IR version {model.ir_version}," in ROWS["format"]
    assert re.findall(r"`(reid_pareto\.\w+)`", ROWS["metadata"]) == [p.key for p in model.metadata_props]
