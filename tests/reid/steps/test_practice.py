"""What a pruner of NNI practises with."""

from pathlib import Path

import pytest
import torch

from reid.config import TrialConfig
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.models import build
from reid.stages import NoCache
from reid.steps.data import load_data
from reid.steps.dense import Network
from reid.steps.practice import _Practice
from reid.steps.workshop import Workshop

CONFIG = TrialConfig.from_dict(
    {
        "input_size": [64, 32], "identities_per_batch": 4, "images_per_identity": 2, "validation_share": 0.3,
        "method": "nni-taylor", "nni_steps": 3, "finetune_loss": "softmax+arcface", "finetune_learning_rate": 0.1,
    }
)  # fmt: skip


@pytest.mark.parametrize("loss", ["softmax+arcface", "softmax"])
def test_vectors_of_the_loss_are_trained_and_the_network_is_not(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters would be judged by gradients towards random vectors."""
    monkeypatch.setenv("REID_PARETO_LOCKS", str(tmp_path / "locks"))
    prepare_synthetic(
        SyntheticOptions(identities=12, test_identities=4, images_per_camera=2), tmp_path / "data"
    )
    config = TrialConfig.from_dict(CONFIG.to_dict() | {"finetune_loss": loss})
    work = Workshop(config, NoCache(tmp_path / "cache"), print)
    data = load_data(work, tmp_path / "data")
    twin = build("osnet_x0_25", int(data.labels.max()) + 1)
    before = {name: value.clone() for name, value in twin.named_parameters()}
    practice = _Practice(work, data, Network(model=twin, key="dense"), twin)
    assert all(torch.equal(value, before[name]) for name, value in twin.named_parameters())
    assert all(value.requires_grad for value in twin.parameters())
    vectors = list(practice._stepper.loss.parameters())
    assert len(vectors) == (loss != "softmax")
    assert all(practice._stepper.optimizer.state[vector]["step"] == 3 for vector in vectors)
    batch = next(iter(practice.batches()))
    practice.loss(batch).backward()
    assert any(value.grad is not None for value in twin.parameters())
