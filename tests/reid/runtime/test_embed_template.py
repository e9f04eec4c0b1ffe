"""The program that goes into every package does what our runtime does, without us."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.config import Target
from reid.data.image import decode
from reid.runtime import Runtime, open_artifact
from reid.runtime.convert import convert
from tests.contract.deployment import SPEC, people, tiny_artifact

PROGRAM = Path(__file__).resolve().parents[3] / "results" / "templates" / "embed.py"
SIZE = (SPEC.height, SPEC.width)


@pytest.fixture(
    params=[
        "onnx",
        "onnx-flip",
        "onnxruntime-pixels",
        "openvino",
        "torchscript",
        "torchscript-qnnpack",
        "executorch",
    ]
)
def package(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Runtime]:
    """What of a package the program reads, and our runtime on the same network."""
    folder = tmp_path / "package"
    folder.mkdir()
    artifact = tiny_artifact(folder, flip=request.param in ("onnx-flip", "onnxruntime-pixels"))
    runtime = open_artifact(artifact.path, Target())
    if request.param == "onnxruntime-pixels":
        artifact.path.write_bytes(convert(artifact.path, request.param)["model.onnx"])
    if request.param.startswith("torchscript"):
        for name, content in convert(artifact.path, request.param).items():
            (folder / name).write_bytes(content)
        artifact.path.unlink()
    if request.param in ("openvino", "executorch"):
        pytest.importorskip(request.param, reason=f"{request.param} is not installed (an extra)")
        for name, content in convert(artifact.path, request.param).items():
            (folder / name).write_bytes(content)
        artifact.path.unlink()
    (folder / "input_spec.json").write_text(json.dumps(runtime.spec.to_dict()))
    shutil.copy(PROGRAM, folder)
    return folder, runtime


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Pictures of several sizes, kinds and ways to lie; one file that is no picture by its name."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for number, (height, width) in enumerate([(131, 57), (48, 24), (64, 90)]):
        Image.fromarray(people(1, height, width, seed=number)[0]).save(folder / f"{number}.png")
    sideways = Image.Exif()
    sideways[0x0112] = 6
    Image.fromarray(people(1, 80, 160, seed=7)[0]).save(folder / "turned.jpg", exif=sideways)
    Image.fromarray(people(1, 70, 30, seed=8)[0]).convert("L").save(folder / "grey.PNG")
    (folder / "Thumbs.db").write_bytes(b"no picture")
    return folder


def call(folder: Path, *arguments: object, code: int = 0) -> str:
    command = [sys.executable, "-I", "-W", "error", str(folder / "embed.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


def test_a_folder_of_crops_becomes_embeddings(
    package: tuple[Path, Runtime], crops: Path, tmp_path: Path
) -> None:
    folder, runtime = package
    out = tmp_path / "found.npy"
    assert call(folder, crops, out) == f"5 embeddings of {SPEC.embedding_dim} numbers in {out}\n"
    names = out.with_suffix(".txt").read_text().splitlines()
    assert names == ["0.png", "1.png", "2.png", "grey.PNG", "turned.jpg"]
    images = [decode(crops / name, SIZE) for name in names]
    expected = runtime.embed(np.stack([image for image in images if isinstance(image, np.ndarray)]))
    found = np.load(out)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_two_pictures_become_a_similarity(package: tuple[Path, Runtime], crops: Path) -> None:
    folder, runtime = package
    a, b = runtime.embed(np.stack([np.asarray(decode(crops / name, SIZE)) for name in ("0.png", "2.png")]))
    word, value = call(folder, crops / "0.png", crops / "2.png").split()
    assert word == "similarity"
    assert float(value) == pytest.approx(float(a @ b), abs=1e-4)
    assert call(folder, crops / "0.png", crops / "0.png") == "similarity 1.0000\n"


@pytest.mark.parametrize(
    ("key", "value"),
    [("channel_order", "BGR"), ("resize", "bicubic"), ("schema", 2), ("height", 64), ("width", 48)],
)
def test_what_it_cannot_honour_is_refused(tmp_path: Path, crops: Path, key: str, value: object) -> None:
    tiny_artifact(tmp_path)
    (tmp_path / "input_spec.json").write_text(json.dumps(SPEC.to_dict() | {key: value}))
    shutil.copy(PROGRAM, tmp_path)
    told = call(tmp_path, crops, tmp_path / "x.npy", code=1)
    assert str(value) in told
    assert told.count("\n") == 1
    assert not (tmp_path / "x.npy").exists()


def test_pictures_are_read_as_in_training_or_refused(package: tuple[Path, Runtime], crops: Path) -> None:
    folder, _ = package
    Image.fromarray(np.arange(800, dtype=np.uint16).reshape(40, 20) * 80).save(crops / "thermal.png")
    told = call(folder, crops / "thermal.png", crops / "0.png", code=1)
    assert told.endswith(f"{crops / 'thermal.png'}: more than 8 bits a channel; convert it to 8\n")
    Image.fromarray(people(1, 40, 20)[0]).save(crops / "plain.jpg", dpi=(72, 72))
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\x7f\x06"
    Image.fromarray(people(1, 40, 20)[0]).save(crops / "tag.jpg", dpi=(72, 72), exif=damaged)
    assert call(folder, crops / "plain.jpg", crops / "tag.jpg") == "similarity 1.0000\n"


def test_wrong_use_is_told(tmp_path: Path, crops: Path) -> None:
    tiny_artifact(tmp_path)
    (tmp_path / "input_spec.json").write_text(json.dumps(SPEC.to_dict()))
    shutil.copy(PROGRAM, tmp_path)
    assert "python embed.py A.jpg B.jpg" in call(tmp_path, crops, code=1)
    assert "must end in .npy" in call(tmp_path, crops, tmp_path / "x.txt", code=1)
    (tmp_path / "empty").mkdir()
    assert "holds no .jpg or .png" in call(tmp_path, tmp_path / "empty", tmp_path / "x.npy", code=1)


def test_needs_nothing_of_ours_and_stays_readable() -> None:
    lines = PROGRAM.read_text().splitlines()
    imported = {line.split()[1] for line in map(str.strip, lines) if line.startswith(("import ", "from "))}
    assert imported == {
        "json", "sys", "warnings", "pathlib", "numpy", "onnxruntime", "openvino", "torch", "executorch.runtime", "PIL",
    }  # fmt: skip
    assert len([line for line in lines if line.strip()]) <= 90
