"""Small real things under the names that the pages use: archives, datasets, weights, a teacher, a study, packages."""

import shutil
import zipfile
from pathlib import Path

import openvino
import torch

from reid.data import MEAN, STD
from reid.data.prepare import prepare
from reid.export import InputSpec, export_onnx
from reid.models import build
from tests.reid.data.test_layout import to_layumi
from tests.reid.data.test_msmt17 import write_release
from tests.reid.data.trees import write_images, write_market

__all__ = ["SPACE", "make_world"]

SPACE = """
name: tiny
dataset: market1501
fixed:
  {backbone: resnet18, method: hfp, epochs: 0, finetune_epochs: 0, input_size: [64, 32], identities_per_batch: 4}
parameters:
  prune_rate:   {float: [0.3, 0.9]}
objectives: {mAP: maximize, latency_ms: minimize}
target: {runtime: onnxruntime, device: cpu, threads: 1, batch: 1}
"""


def make_world(root: Path, synthetic: Path) -> None:
    """Everything that a page expects to be there, in the folder that its commands are run in.

    Args:
        root: an empty folder.
        synthetic: a prepared dataset of a dozen people, which stands in for Market-1501.
    """
    _archives(root, synthetic)
    prepare("market1501", root / "Market-1501-v15.09.15.zip", root / "data" / "market1501")
    torch.save(build("osnet_x0_25", 4).state_dict(), root / "osnet_x0_25_market1501.pth")
    _teacher(root)
    (root / "people").mkdir()
    for name in ("first", "second"):
        for folder in (root, root / "people"):
            shutil.copy(next((synthetic / "query").glob("*.jpg")), folder / f"{name}.jpg")
    (root / "tiny.yaml").write_text(SPACE)


def _archives(root: Path, synthetic: Path) -> None:
    _zip(synthetic, "Market-1501-v15.09.15", root / "Market-1501-v15.09.15.zip")
    write_market(root / "unpacked" / "market")
    to_layumi(root / "unpacked" / "market", root / "Market" / "pytorch")
    _zip(root / "unpacked" / "market", "DukeMTMC-reID", root / "DukeMTMC-reID.zip")
    for kind in ("detected", "labeled"):
        write_market(root / "unpacked" / "cuhk03-np" / kind, ".png")
    _zip(root / "unpacked" / "cuhk03-np", "cuhk03-np", root / "cuhk03-np.zip")
    write_release(root / "unpacked" / "msmt" / "MSMT17_V1")
    shutil.make_archive(str(root / "MSMT17_V1"), "gztar", root / "unpacked" / "msmt")
    write_images(
        root / "crops",
        [f"{person}/cam{camera}_{n}.jpg" for person in (1, 2, 3, 4) for camera in (1, 2) for n in (1, 2)],
    )


def _zip(folder: Path, name: str, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as out:
        for path in sorted(folder.rglob("*.[jp][pn]g")):
            out.write(path, Path(name) / path.relative_to(folder))


def _teacher(root: Path) -> None:
    """A network that embeds, in the format and under the name of the Open Model Zoo's."""
    spec = InputSpec(height=256, width=128, mean=MEAN, std=STD, embedding_dim=256)
    export_onnx(build("resnet18", 4, width=0.5).eval(), spec, root / "teacher.onnx")
    openvino.save_model(
        openvino.convert_model(root / "teacher.onnx"), root / "person-reidentification-retail-0277.xml"
    )
