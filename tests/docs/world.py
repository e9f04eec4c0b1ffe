"""A folder with everything that the documentation's commands name, at a size that takes seconds."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import torch
from onnx import TensorProto, helper, numpy_helper

import spaces
from reid.data import load_dataset
from reid.data.prepare import prepare, prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.models import build
from results import commit, commit_artifact
from tests.contract.deployment import tiny_artifact
from tests.reid.data.test_layout import to_layumi
from tests.reid.data.test_msmt17 import write_release
from tests.reid.data.trees import write_market
from tests.results.conftest import trial
from tests.results.samples import make_study

__all__ = ["SMALL_TRIAL", "STUDIES", "make_teacher", "make_world"]

SMALL_TRIAL: dict[str, Any] = {
    "epochs": 1,
    "warmup_epochs": 0,
    "prune_epochs": 1,
    "finetune_epochs": 1,
    "identities_per_batch": 4,
    "images_per_identity": 2,
    "calibration_images": 8,
    "max_quantization_drop": 1.0,
    "validation_share": 0.3,
    "input_size": [64, 32],
}
"""Settings in place of a preset's, so that a trial takes seconds."""

STUDIES = ("STUDY", "studies/osnet", "studies/own", "studies/first", "studies/demo")
"""Names that the documentation gives to a finished study."""


def make_world(root: Path) -> None:
    """Data as its sources ship it and prepared, weights, a teacher, pictures, finished studies."""
    market = root / "Market-1501-v15.09.15"
    prepare_synthetic(SyntheticOptions(identities=12, test_identities=4, images_per_camera=2), market)
    (market / "dataset.json").unlink()
    shutil.copytree(market / "query", market / "gt_bbox")  # further images of the queries
    to_layumi(market, root / "Market" / "pytorch")
    shutil.make_archive(str(market), "zip", root, market.name)
    _other_datasets(root)
    prepare("market1501", market, root / "data" / "market1501")
    shutil.copytree(root / "data" / "market1501", root / "DATA")
    shutil.copytree(root / "data" / "market1501", root / "shared" / "market1501")
    prepare_synthetic(
        SyntheticOptions(identities=12, test_identities=4, images_per_camera=2), root / "data" / "synthetic"
    )
    torch.save(build("osnet_x0_25", 12).state_dict(), root / "osnet_x0_25_market1501.pth")
    make_teacher(root / "person-reidentification-retail-0277.xml")
    pictures = sorted((market / "query").iterdir())
    for name, picture in zip(("first.jpg", "second.jpg"), pictures, strict=False):
        shutil.copyfile(picture, root / name)
    shutil.copytree(market / "query", root / "people")
    shutil.rmtree(market)
    _studies(root)


def _other_datasets(root: Path) -> None:
    write_market(root / "DukeMTMC-reID")
    shutil.make_archive(str(root / "DukeMTMC-reID"), "zip", root, "DukeMTMC-reID")
    write_release(root / "MSMT17_V1")
    shutil.make_archive(str(root / "MSMT17_V1"), "gztar", root, "MSMT17_V1")
    for boxes in ("detected", "labeled"):
        write_market(root / "cuhk03-np" / boxes, suffix=".png")
    shutil.make_archive(str(root / "cuhk03-np"), "zip", root, "cuhk03-np")
    for picture in sorted((root / "Market-1501-v15.09.15" / "bounding_box_train").iterdir()):
        person, camera, *_ = picture.name.replace("s", "_").split("_")
        place = root / "crops" / person / f"cam{camera[1:]}_{picture.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, place)


def make_teacher(path: Path) -> None:
    """A network with the input and the output of the Open Model Zoo's: mean colours, spread over 256 numbers."""
    weight = np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 256, 128])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 256])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path.with_suffix(".onnx"))
    openvino.save_model(openvino.convert_model(path.with_suffix(".onnx")), path, compress_to_fp16=False)


def _studies(root: Path) -> None:
    """Nine trials with small real files and invented figures: whether a machine is quiet decides nothing here."""
    data = root / "data" / "market1501"
    known = {
        "name": "market1501",
        "fingerprint": load_dataset("market1501", data).fingerprint,
        "root": str(data),
    }
    space = spaces.load("market-osnet").to_dict()
    study = make_study(root, dataset=known, limits=[], space=space)
    files = root / "network"
    files.mkdir()
    artifact = tiny_artifact(files)
    (files / "input_spec.json").write_text(json.dumps(artifact.spec.to_dict()))
    network = onnx.load(artifact.path)
    for number in range(-1, 9):
        network.graph.doc_string = f"trial {number}"  # no two trials hold the same file
        onnx.save(network, artifact.path)
        commit_artifact(study, number, files)
        name = "artifacts/baseline" if number < 0 else f"artifacts/{number:06d}"
        record = trial(
            number,
            0.75 + 0.01 * number,
            2.0 + 0.1 * number,
            artifact=name,
            worker={"host": socket.gethostname(), "device": "cpu"},
        )
        record.metrics["size_bytes"] = 1e6
        record.config.update(validation_share=0.5, target={}, weights=None)
        commit(study, record)
    shutil.rmtree(files)
    for name in STUDIES:
        shutil.copytree(study.path, root / name)
    shutil.rmtree(study.path)
