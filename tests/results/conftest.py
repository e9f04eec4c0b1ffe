"""A small study as a search leaves it, with real ONNX files, for the rooms that read it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from reid.config import TrialConfig
from results import Record, Study, commit, commit_artifact
from results.package import build_package
from tests.results.samples import failed_record, make_study, with_metrics

SIZE = (48, 24)
# number -> (mAP, latency_ms); 0, 3, 5 and 8 are the front, with its knee at 5.
COMPLETE = {0: (0.80, 8.0), 1: (0.70, 6.0), 2: (0.72, 5.5), 3: (0.78, 5.0), 5: (0.74, 3.0), 8: (0.55, 2.5)}
UNTRUSTED = {4: (0.82, 2.0)}
HOME = "/home/some-user"

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def write_network(path: Path, seed: int = 0, width: int = 8) -> Path:
    """A linear embedding of the mean colours of the upper and the lower half, L2-normalised in the graph."""
    weight = np.random.default_rng(seed).normal(size=(6, width)).astype(np.float32)
    halves = np.array([SIZE[0] // 2, SIZE[0] // 2], dtype=np.int64)
    nodes = [
        helper.make_node("Split", ["images", "halves"], ["upper", "lower"], axis=2),
        helper.make_node("GlobalAveragePool", ["upper"], ["u"]),
        helper.make_node("GlobalAveragePool", ["lower"], ["l"]),
        helper.make_node("Concat", ["u", "l"], ["both"], axis=1),
        helper.make_node("Flatten", ["both"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, *SIZE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", width])],
        [
            helper.make_tensor("weight", TensorProto.FLOAT, weight.shape, weight.tobytes(), raw=True),
            helper.make_tensor("halves", TensorProto.INT64, (2,), halves.tobytes(), raw=True),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def embedder(path: Path) -> Embed:
    """Runs a network of `write_network` on uint8 RGB images; opened at the first call."""

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        pixels = images.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5
        return np.asarray(session.run(None, {"images": pixels})[0])

    return embed


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from tests.results.browser import chromium  # where it is missing, only tests of the page are skipped

    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """A new tab."""
    from tests.results.browser import Opened

    page = browser.new_page(viewport={"width": 1300, "height": 1100})
    yield Opened(page)
    page.close()


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Folder as a trial hands it over: model.onnx and input_spec.json."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    write_network(folder / "model.onnx")
    spec = {"schema": 1, "height": SIZE[0], "width": SIZE[1], "mean": [0.5] * 3, "std": [1.0] * 3}
    more = {"embedding_dim": 8, "channel_order": "RGB", "resize": "bilinear", "flip": False}
    (folder / "input_spec.json").write_text(json.dumps(spec | more))
    return folder


def trial(number: int, accuracy: float, latency: float, **changes: Any) -> Record:
    """A complete trial of the study with these objectives."""
    params = {
        "prune_rate": round(0.3 + 0.05 * (number % 12), 2),
        "quantization": "int8-static" if number % 2 else "fp32",
    }
    config = TrialConfig.from_dict(
        {"dataset": "market1501", "input_size": SIZE, "weights": f"{HOME}/weights/resnet18.pth", **params}
    ).to_dict()
    metrics = {
        "mAP": accuracy,
        "rank1": min(1.0, accuracy + 0.1),
        "latency_ms": latency,
        "latency_p10_ms": latency * 0.97,
        "latency_p90_ms": latency * 1.06,
        "latency_ratio": latency / 16,
    }
    return with_metrics(number, metrics, params=params, config=config, **changes)


@pytest.fixture
def study(tmp_path: Path, network: Path) -> Study:
    """Six complete trials, one untrusted, one infeasible, one failed, and the baseline."""
    made = make_study(
        tmp_path,
        limits=["latency_ms <= 8.5", "mAP >= baseline - 0.40", "latency_ms <= 0.6 * baseline"],
        dataset={"name": "market1501", "fingerprint": "ab" * 32, "root": f"{HOME}/data/market"},
    )
    commit_artifact(made, -1, network)
    commit(made, trial(-1, 0.84, 16.0, artifact="artifacts/baseline"))
    for number, (accuracy, latency) in (COMPLETE | UNTRUSTED).items():
        commit_artifact(made, number, network)
        commit(made, trial(number, accuracy, latency, latency_trusted=number in COMPLETE))
    over = {"latency_ms <= 8.5": 0.7}
    slow = trial(6, 0.81, 9.2, status="infeasible", violations=over, artifact=None)
    commit(made, slow)
    commit(made, failed_record(7, message="knn must be at least 2, got 1"))
    return made


@pytest.fixture
def embed(network: Path) -> Embed:
    """Runs the network of every trial."""
    return embedder(network / "model.onnx")


@pytest.fixture
def package(study: Study, tmp_path: Path, embed: Embed) -> Path:
    """That of trial 5."""
    return build_package(study, study.record(5), tmp_path / "package", embed=embed)
