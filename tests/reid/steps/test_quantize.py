"""Every scheme through the steps of a trial, on generated images."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import reid.steps.mixed
from reid.config import Target, TrialConfig
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import ConfigError
from reid.files import read_json
from reid.pipeline import check, run
from reid.runtime import Runtime, open_artifact
from reid.stages import NoCache
from reid.steps.clock import time_early
from reid.steps.compress import allocate
from reid.steps.data import TrialData, load_data
from reid.steps.dense import Network, train_dense
from reid.steps.deploy import Deployed, export_float, quantize_export
from reid.steps.harm import Judge
from reid.steps.score import score_on_validation
from reid.steps.workshop import Workshop
from reid.timing import Latency
from tests.reid.quantize.graphs import optimised

CONFIG = TrialConfig.from_dict(
    {
        "input_size": [64, 32], "epochs": 1, "warmup_epochs": 0, "identities_per_batch": 4,
        "images_per_identity": 2, "calibration_images": 16, "validation_share": 0.3, "qat_epochs": 2,
        "max_quantization_drop": 1.0, "prune_epochs": 1, "finetune_epochs": 0,
    }
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Trained:
    root: Path
    cache: NoCache
    data: TrialData
    network: Network
    exported: Deployed

    def work(self, **settings: Any) -> Workshop:
        return Workshop(dataclasses.replace(CONFIG, **settings), self.cache, lambda line: None)

    def deploy(self, **settings: Any) -> tuple[Deployed, Workshop]:
        work = self.work(**settings)
        return quantize_export(work, self.data, self.exported, self.network), work


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REID_PARETO_LOCKS", str(tmp_path_factory.mktemp("locks")))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, locks: None) -> Trained:
    root = tmp_path_factory.mktemp("data") / "synthetic"
    prepare_synthetic(SyntheticOptions(identities=12, test_identities=4, images_per_camera=2), root)
    cache = NoCache(tmp_path_factory.mktemp("cache"))
    work = Workshop(CONFIG, cache, lambda line: None)
    data = load_data(work, root)
    network = train_dense(work, data)
    return Trained(root, cache, data, network, export_float(work, data, network))


@pytest.mark.parametrize("scheme", ["int8-dynamic", "int8-static", "int8-qat", "int8-mixed"])
def test_every_scheme_gives_a_file_that_embeds_nearly_as_the_float_file(
    trained: Trained, scheme: str
) -> None:
    deployed, work = trained.deploy(quantization=scheme)
    runtime = open_artifact(deployed.artifact.path, Target())
    assert runtime.scheme == deployed.artifact.scheme == scheme
    assert deployed.artifact.size_bytes <= trained.exported.artifact.size_bytes + 100
    images = trained.data.query_images
    exact = open_artifact(trained.exported.artifact.path, Target()).embed(images)
    assert (runtime.embed(images) * exact).sum(axis=1).min() > 0.9
    assert score_on_validation(work, trained.data, deployed)["mAP"] > 0
    layers = work.checks["layers"]
    assert len(layers["quantized"]) + len(layers["float"]) == 20
    assert work.stages[-2].name == "quantize"


def test_settings_of_the_calibration_are_part_of_the_stage(trained: Trained) -> None:
    keys = {
        trained.deploy(quantization="int8-static", **settings)[0].key
        for settings in ({}, {"calibration": "percentile"}, {"equalize": True}, {"calibration_images": 8})
    }
    assert len(keys) == 4
    assert trained.deploy(quantization="int8-static", qat_epochs=9)[0].key in keys


def test_int8_qat_changes_weights_and_ranges_in_the_form_of_int8_static(
    trained: Trained, tmp_path: Path
) -> None:
    qat, work = trained.deploy(quantization="int8-qat")
    static, _ = trained.deploy(quantization="int8-static")
    graphs = [onnx.load(deployed.artifact.path) for deployed in (static, qat)]
    assert [node.op_type for node in graphs[0].graph.node] == [node.op_type for node in graphs[1].graph.node]
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer} for graph in graphs
    )
    weights = [name for name, values in before.items() if values.dtype == np.int8 and values.ndim == 4]
    assert len(weights) == 20
    assert all((before[name] != after[name]).any() for name in weights)
    scales = [node.input[1] for node in graphs[0].graph.node if node.op_type == "QuantizeLinear"]
    assert all(before[name] != after[name] for name in scales)
    kinds = optimised(qat.artifact.path, tmp_path)
    assert kinds["QLinearConv"] == 20
    assert kinds["Conv"] == kinds["FusedConv"] == 0
    assert work.checks["qat_parity_min_cosine"] > 0.99
    assert [(row["stage"], row["epoch"]) for row in work.curves] == [("qat", 0), ("qat", 1)]
    losses = [row["loss"] for row in work.curves]
    assert losses[1] < losses[0]


def test_int8_qat_is_trained_once_for_all_runtimes(trained: Trained) -> None:
    first, _ = trained.deploy(quantization="int8-qat")
    for runtime in ("openvino", "onnxruntime"):
        pytest.importorskip(runtime, reason=f"{runtime} is not installed")
        target = Target(runtime=runtime, threads=1 if runtime == "onnxruntime" else 2)
        work = trained.work(quantization="int8-qat", target=target)
        exported = export_float(work, trained.data, trained.network)
        second = quantize_export(work, trained.data, exported, trained.network)
        assert second.artifact.path.read_bytes() == first.artifact.path.read_bytes()
        stages = {stage.name: stage for stage in work.stages}
        assert "qat" not in stages or stages["qat"].cached
        assert work.checks["qat_parity_min_cosine"] > 0.99
        assert stages["quantize"].cached == (runtime == "onnxruntime")


@pytest.mark.parametrize("scheme", ["fp32", "int8-qat", "int8-mixed"])
def test_a_file_may_add_the_mirror_image(trained: Trained, scheme: str) -> None:
    work = trained.work(quantization=scheme, flip_embedding=True)
    exported = export_float(work, trained.data, trained.network)
    mirrored = quantize_export(work, trained.data, exported, trained.network)
    plain, _ = trained.deploy(quantization=scheme)
    assert mirrored.key != plain.key
    images = trained.data.query_images
    once, both = (open_artifact(one.artifact.path, Target()).embed(images) for one in (plain, mirrored))
    turned = open_artifact(mirrored.artifact.path, Target()).embed(images[:, :, ::-1])
    np.testing.assert_allclose(both, turned, atol=1e-5)
    assert (once * both).sum(axis=1).min() < 0.9999
    assert read_json(mirrored.folder / "input_spec.json")["flip"] is True


def test_int8_qat_goes_on_after_its_last_epoch(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = trained.deploy(quantization="int8-qat")
    cut = dataclasses.replace(trained, cache=NoCache(tmp_path))
    epochs: list[int] = []

    class Stopped(Exception):  # noqa: N818 - ends the training as a lost worker would
        pass

    class Watcher:
        def step(self, stage: str, progress: object) -> None:
            pass

        def epoch(self, stage: str, report: Any) -> None:
            epochs.append(report.epoch)
            if len(epochs) == 1:
                raise Stopped

    for _ in range(2):
        work = cut.work(quantization="int8-qat")
        work.watcher = Watcher()
        try:
            resumed = quantize_export(work, cut.data, cut.exported, cut.network)
        except Stopped:
            continue
    assert epochs == [0, 1]
    assert resumed.artifact.path.read_bytes() == whole.artifact.path.read_bytes()


def test_int8_mixed_tells_what_it_measured_and_is_no_slower(trained: Trained) -> None:
    deployed, work = trained.deploy(quantization="int8-mixed")
    found = work.checks["mixed"]
    candidates = {row["name"]: row for row in found["candidates"]}
    assert {"fp32", "int8-static"} <= candidates.keys()
    assert candidates["fp32"]["error"] == candidates["fp32"]["drop"] == 0
    kept = candidates[found["chosen"]]
    assert kept["latency_ms"] <= 1.03 * min(row["latency_ms"] for row in candidates.values())
    assert set(found["float"]) == set(work.checks["layers"]["float"])
    assert kept["float_layers"] == len(found["float"])
    assert not list(deployed.folder.glob("candidate*"))


def test_int8_mixed_keeps_float_what_is_slow_or_harmful(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Profile, clock and judge are told, so that the outcome follows from the rules alone.
    slow, harmful = "layer1.0.conv1", "layer2.0.conv1"

    def told_times(model: onnx.ModelProto, *_: object) -> dict[str, float]:
        integer = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
        return {"integer" if integer else "float": 1.0}

    def told_costs(graph: object, times: dict[str, float]) -> dict[str, float]:
        names = trained.deploy(quantization="int8-static")[1].checks["layers"]["quantized"]
        float_ms = dict.fromkeys(names, 1.0)
        return float_ms if "float" in times else {**dict.fromkeys(names, 0.3), slow: 5.0}

    def told_timing(runs: list[Any], **_: object) -> Any:
        return SimpleNamespace(medians_ms=[10.0, 8.0, *(5.0 for _ in runs[2:])], trusted=True)

    monkeypatch.setattr(reid.steps.mixed, "kernel_times_ms", told_times)
    monkeypatch.setattr(reid.steps.mixed, "layer_times", told_costs)
    monkeypatch.setattr(reid.steps.mixed, "layer_harm", lambda *_: {harmful: 0.5})
    monkeypatch.setattr(reid.steps.mixed, "compare", told_timing)
    own = dataclasses.replace(trained, cache=NoCache(tmp_path))
    deployed, work = own.deploy(quantization="int8-mixed")
    assert slow in work.checks["layers"]["float"]
    assert len(work.checks["layers"]["quantized"]) >= 10
    entry = work.checks["mixed"]["float"][slow]
    assert (entry["float_ms"], entry["int8_ms"], entry["reason"]) == (1.0, 5.0, "latency")
    assert open_artifact(deployed.artifact.path, Target()).scheme == "int8-mixed"

    # Where every quantized file costs more than is allowed, the fp32 graph remains.
    monkeypatch.setattr(Judge, "__call__", _judged)
    deployed, work = own.deploy(quantization="int8-mixed", max_quantization_drop=0.02)
    assert not work.checks["layers"]["quantized"]
    names = [row["name"] for row in work.checks["mixed"]["candidates"]]
    assert any("most harmful float" in name for name in names)
    images = trained.data.query_images
    exact = open_artifact(trained.exported.artifact.path, Target()).embed(images)
    np.testing.assert_array_equal(open_artifact(deployed.artifact.path, Target()).embed(images), exact)


def _judged(judge: Judge, runtime: Runtime) -> tuple[float, float]:
    error = 1 - float((runtime.embed(judge.images) * judge.embeddings).sum(axis=1).mean())
    return (0.0, 0.0) if error < 1e-6 else (error, 0.5)


@pytest.mark.parametrize("scheme", ["int8-static", "int8-qat", "int8-mixed"])
def test_early_timing_opens_a_file_of_the_scheme(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    seen: list[str] = []

    def told(work: Workshop, artifact: Any, *_: object) -> Latency:
        seen.append(open_artifact(artifact.path, work.config.target).scheme)
        return Latency(
            latency_ms=1.0, p10_ms=1.0, p90_ms=1.0, samples_ms=(1.0,), trusted=True, reason="", kernel_drift=0.0,
            kernel_ms=(1.0, 1.0), attempts=1, waited_s=0.0, ratio=None, reference_ms=None,
        )  # fmt: skip

    monkeypatch.setattr("reid.steps.clock._measure", told)
    work = trained.work(quantization=scheme)
    rates = allocate(work, trained.network)
    figures, latency = time_early(work, trained.data, trained.network, rates, None, None)
    assert seen == [scheme]
    assert figures["size_bytes"] > 0
    # An equal network is not timed again; the final file of a trial always is.
    assert time_early(work, trained.data, trained.network, rates, None, None) == (figures, latency)
    assert seen == [scheme]
    assert work.checks["early_latency_known"]


@pytest.mark.parametrize("scheme", ["int8-dynamic", "int8-qat"])
def test_a_drop_beyond_the_limit_is_infeasible(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    def told(work: Workshop, data: TrialData, deployed: Deployed) -> dict[str, float]:
        return {"mAP": 0.5 if deployed.artifact.scheme == "fp32" else 0.45, "rank1": 0.5}

    monkeypatch.setattr("reid.pipeline.score_on_validation", told)
    config = dataclasses.replace(CONFIG, method="none", quantization=scheme, max_quantization_drop=0.04)
    outcome = run(config, data_root=trained.root, cache=trained.cache)
    assert outcome.status == "infeasible"
    assert outcome.violations == {"quantization_drop <= 0.04": pytest.approx(0.01)}


def test_a_refused_combination_does_no_work(trained: Trained) -> None:
    config = dataclasses.replace(CONFIG, quantization="bf16")
    with pytest.raises(ConfigError, match="not offered"):
        check(config)
