"""Allocation by budget on a real network and a real runtime; layers are timed once."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from reid.config import Target, TrialConfig
from reid.errors import ConfigError
from reid.models import build, count
from reid.prune import slim
from reid.prune.layers import LayerShape, shapes_of
from reid.prune.methods import planned
from reid.steps import layer_times
from reid.steps.budget import rates_within_budget
from reid.steps.layer_times import LayerTimes, conv_graph
from reid.steps.workshop import Workshop
from reid.timing import DeviceLock
from results import DiskCache

SHAPE = LayerShape(size=(12, 6), kernel=(3, 3), stride=(2, 2), padding=(1, 1))
DEPTHWISE = LayerShape(size=(12, 6), kernel=(3, 3), padding=(1, 1), groups=0)
SIZE = (64, 32)


def workshop(tmp_path: Path, **settings: object) -> Workshop:
    config = TrialConfig(backbone="resnet18", method="hfp", input_size=SIZE, allocate="latency", **settings)  # type: ignore[arg-type]
    return Workshop(config, DiskCache(tmp_path / "cache"), lambda line: None)


@pytest.mark.parametrize("share", [0.25, 0.6])
@pytest.mark.parametrize("scope", ["grouped", "inner"])
def test_a_budget_of_macs_is_met_by_the_network_as_a_whole(tmp_path: Path, share: float, scope: str) -> None:
    dense = build("resnet18", 3).eval()
    work = workshop(tmp_path, macs_budget=share, scope=scope)
    found = rates_within_budget(work, dense, round_to=16)
    small = slim(dense, planned(dense, work.config, rates=found.rates, round_to=16))
    reached = count(small, SIZE).macs / count(dense, SIZE).macs
    assert found.reached == pytest.approx(reached)
    assert 0.9 * share <= reached <= 1.02 * share
    assert (found.by, found.trusted) == ("macs", True)
    assert max(found.rates.values()) <= work.config.max_layer_rate


def test_latency_is_measured_on_the_network_as_a_whole(tmp_path: Path) -> None:
    """Without a budget, it is what the prune rate would give, spread evenly."""
    dense = build("resnet18", 3).eval()
    found = rates_within_budget(workshop(tmp_path, prune_rate=0.5), dense, round_to=16)
    assert found.by == "latency"
    assert 0.1 < found.budget < 0.9
    assert 0 < found.reached <= found.budget * 1.02
    assert 0 < found.predicted < 1
    assert found.lost > 0


def test_a_budget_below_the_narrowest_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"macs_budget 0\.01: the nearest network found takes 0\.\d+"):
        rates_within_budget(
            workshop(tmp_path, macs_budget=0.01, max_layer_rate=0.5), build("resnet18", 3), round_to=16
        )


def test_a_graph_of_a_layer_is_the_convolution() -> None:
    session = onnxruntime.InferenceSession(conv_graph(SHAPE, 8, 16, 3), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(1).random((2, 8, 12, 6), dtype=np.float32)
    weights = torch.tensor(
        np.random.default_rng(0).standard_normal((3, 16, 8, 3, 3)).astype(np.float32) / 100
    )
    wanted = sum(F.conv2d(torch.tensor(images), one, stride=2, padding=1) for one in weights)
    np.testing.assert_allclose(session.run(None, {"x": images})[0], wanted, atol=1e-5)


def test_layers_are_measured_once_and_again_when_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {SHAPE: ({32}, {32, 64}), DEPTHWISE: ({64}, {64})}
    first = LayerTimes(Target(), DeviceLock("cpu"), tmp_path)
    first.measure(wanted)
    assert first(SHAPE, 32, 64) > 0
    assert first(DEPTHWISE, 24, 24) > 0
    # Below the narrowest width a layer takes its share of that one.
    assert first(DEPTHWISE, 8, 8) == pytest.approx(first(DEPTHWISE, 16, 16) / 2)

    def fail(*_: object) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr(layer_times, "graph_timer", fail)
        again = LayerTimes(Target(), DeviceLock("cpu"), tmp_path)
        again.measure(wanted)
        assert again(SHAPE, 20, 40) == first(SHAPE, 20, 40)
        for path in tmp_path.glob("layer-*.json"):
            path.write_text(json.dumps({"ms": [[-1.0]]}))
        with pytest.raises(AssertionError, match="measured again"):
            LayerTimes(Target(), DeviceLock("cpu"), tmp_path).measure(wanted)


def test_openvino_times_layers_too(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is an extra")
    times = LayerTimes(Target(runtime="openvino"), DeviceLock("cpu"), tmp_path)
    times.measure({SHAPE: ({16}, {16})})
    assert times(SHAPE, 16, 16) > 0


def test_every_layer_of_a_network_has_a_time(tmp_path: Path) -> None:
    dense = build("osnet_x0_25", 3).eval()
    times = LayerTimes(Target(), DeviceLock("cpu"), tmp_path)
    shapes = shapes_of(dense, (), SIZE)
    times.measure(shapes)
    assert all(times(shape, max(ins), max(outs)) > 0 for shape, (ins, outs) in shapes.items())
