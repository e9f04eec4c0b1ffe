"""OpenVINO does what ONNX Runtime does, from the ONNX file and from the IR made of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reid.config import Target
from reid.errors import ArtifactError, ConfigError, NoDevice, UnverifiedError
from reid.runtime import installed_runtimes, open_artifact, runtime_of
from reid.runtime.convert import check_conversion, convert
from tests.contract.deployment import SPEC, people, tiny_artifact
from tests.contract.runtime import RuntimeContract

openvino = pytest.importorskip("openvino", reason="openvino is not installed (an extra)")

TARGET = Target(runtime="openvino")


class TestOpenVino(RuntimeContract):
    target = TARGET


class TestOpenVinoWithThreads(RuntimeContract):
    target = Target(runtime="openvino", threads=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The IR of the tiny network."""
    ir = tmp_path / "ir"
    ir.mkdir()
    for name, content in convert(tiny_artifact(tmp_path).path, "openvino").items():
        (ir / name).write_bytes(content)
    return ir


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_the_ir_is_the_same_network(tmp_path: Path, flip: bool, half: bool) -> None:
    source = tiny_artifact(tmp_path, flip=flip).path
    (tmp_path / "ir").mkdir()
    files = convert(source, "openvino", half=half)
    for name, content in files.items():
        (tmp_path / "ir" / name).write_bytes(content)
    assert runtime_of(tmp_path / "ir") == "openvino"
    runtime = open_artifact(tmp_path / "ir", TARGET)
    assert (runtime.spec.to_dict(), runtime.scheme) == (SPEC.to_dict() | {"flip": flip}, "fp32")
    expected = open_artifact(source, Target()).embed(people(20))
    found = runtime.embed(people(20))
    np.testing.assert_allclose(found, expected, atol=2e-3 if half else 2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert check_conversion(open_artifact(source, Target()), runtime, people(20)) > 0.9999
    whole = len(convert(source, "openvino")["model.bin"])
    assert len(files["model.bin"]) < 0.6 * whole if half else len(files["model.bin"]) == whole


def test_the_ir_tells_nothing_of_this_machine(folder: Path, tmp_path: Path) -> None:
    graph = (folder / "model.xml").read_text()
    assert str(tmp_path) not in graph
    assert "/tmp" not in graph


def test_it_runs_in_fp32_where_the_processor_would_rather_not(folder: Path) -> None:
    expected = open_artifact(folder.parent / "model.onnx", Target()).embed(people(30))
    assert (open_artifact(folder, TARGET).embed(people(30)) * expected).sum(axis=1).min() > 0.999999


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
@pytest.mark.parametrize("keep", [0, 0.5])
def test_torn_ir_is_refused_in_one_line(folder: Path, name: str, keep: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(keep * len(content))])
    with pytest.raises(UnverifiedError, match=r"openvino cannot open .*model\.xml: ") as caught:
        open_artifact(folder / "model.xml", TARGET)
    assert "\n" not in str(caught.value)


def test_an_ir_without_weights_or_specification(folder: Path, tmp_path: Path) -> None:
    (folder / "model.bin").rename(tmp_path / "model.bin")
    with pytest.raises(ArtifactError, match=r"cannot read .*model\.bin"):
        open_artifact(folder, TARGET)
    (tmp_path / "model.bin").rename(folder / "model.bin")
    graph = (folder / "model.xml").read_text()
    (folder / "model.xml").write_text(graph.replace("reid_pareto", "somebody"))
    with pytest.raises(UnverifiedError, match="holds no input specification"):
        open_artifact(folder, TARGET)


def test_a_specification_that_contradicts_the_graph(folder: Path) -> None:
    graph = (folder / "model.xml").read_text()
    assert "&quot;height&quot;: 48" in graph
    (folder / "model.xml").write_text(graph.replace("&quot;height&quot;: 48", "&quot;height&quot;: 64"))
    with pytest.raises(UnverifiedError, match="its input specification says"):
        open_artifact(folder, TARGET)


def test_a_layer_of_somebody_else_is_refused(folder: Path) -> None:
    graph = (folder / "model.xml").read_text()
    (folder / "model.xml").write_text(
        graph.replace('type="Convolution" version="opset1"', 'type="Backdoor" version="evil"')
    )
    with pytest.raises(UnverifiedError, match="cannot open"):
        open_artifact(folder, TARGET)


def test_other_devices_targets_and_schemes_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder.parent / "model.onnx"
    with pytest.raises(NoDevice, match="'cpu' only"):
        open_artifact(folder, Target(runtime="openvino", device="cuda:0"))
    with pytest.raises(ConfigError, match=r"unknown target to export to 'openvin'; did you mean openvino\?"):
        convert(source, "openvin")
    monkeypatch.setattr("reid.runtime.convert.FLOAT_SCHEMES", frozenset())
    with pytest.raises(ConfigError, match="--fp16 halves float weights"):
        convert(source, "openvino", half=True)
    monkeypatch.setattr("reid.runtime.convert._SCHEMES", frozenset({"int8-static"}))
    with pytest.raises(ConfigError, match="is fp32, which openvino does not take"):
        convert(source, "openvino")


def test_another_network_is_no_conversion(folder: Path, tmp_path: Path) -> None:
    class Other:
        scheme, spec = "fp32", SPEC

        def embed(self, images: np.ndarray) -> np.ndarray:
            return np.full((len(images), SPEC.embedding_dim), SPEC.embedding_dim**-0.5, dtype=np.float32)

    with pytest.raises(ArtifactError, match="differs from its source: smallest cosine"):
        check_conversion(open_artifact(folder, TARGET), Other(), people(3))  # type: ignore[arg-type]


def test_it_is_imported_only_when_named(tmp_path: Path) -> None:
    tiny_artifact(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom reid.config import Target\n"
        "from reid.runtime import open_artifact\n"
        f"open_artifact(Path({str(tmp_path)!r}), Target())\n"
        "assert 'openvino' not in sys.modules\n"
        "sys.modules['openvino'] = None\n"
        "from reid.errors import NoDevice\n"
        f"try: open_artifact(Path({str(tmp_path)!r}), Target(runtime='openvino'))\n"
        "except NoDevice as error: assert 'pip install openvino' in str(error)\n"
        "else: raise SystemExit('opened')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert installed_runtimes()[:2] == ["onnxruntime", "openvino"]
