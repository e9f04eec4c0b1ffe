"""`reid-pareto evaluate` of what a training left: its own settings hold, save those that are said."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

import search.evaluation
from reid.config import TrialConfig
from reid.data import ReIDDataset, load_dataset, split_validation
from reid.errors import ConfigError
from reid.files import write_json
from reid.models import build
from tests.contract.deployment import tiny_artifact
from tests.search.commands.evaluating import call

SIZE = (64, 32)


def test_validation_identities_are_those_of_the_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, int]] = []

    def split(dataset: ReIDDataset, share: float, seed: int) -> Any:
        asked.append((share, seed))
        return split_validation(dataset, 0.5, 0)

    monkeypatch.setattr(search.evaluation, "split_validation", split)
    tiny_artifact(tmp_path)
    call_it = partial(call, tmp_path, "--data", data, "--split", "validation", "--threads", 1)
    call_it()
    space = {
        "name": "one",
        "dataset": "synthetic",
        "fixed": {"validation_share": 0.34, "seed": 5},
        "parameters": {"prune_rate": {"choice": [0.5]}},
        "objectives": {"mAP": "maximize", "latency_ms": "minimize"},
    }
    (tmp_path / "reproduce.yaml").write_text(yaml.safe_dump(space))
    assert "validation split (share 0.34, seed 5), " in call_it()
    answer = json.loads(call_it("--seed", 6, "--json"))
    assert (answer["validation_share"], answer["seed"]) == (0.34, 6)
    write_json(tmp_path / "config.json", {"validation_share": 0.4, "seed": 3})
    call_it()
    call_it("--validation-share", 0.2, "--seed", 1)
    assert asked == [(0.15, 0), (0.34, 5), (0.34, 6), (0.4, 3), (0.2, 1)]
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(
        ConfigError, match=r"cannot read .*config\.json.*; give --validation-share and --seed"
    ):
        call_it()


def test_weights_of_a_run_are_read_as_it_trained_them(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"last_stride": 1, "pooling": "max"}
    network = build("resnet18", 3, **options)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    config = TrialConfig(
        backbone="resnet18", dataset="synthetic", input_size=SIZE, validation_share=0.3, seed=4, **options
    )
    write_json(tmp_path / "config.json", config.to_dict())
    told = json.loads(call(tmp_path / "model.safetensors", "--data", data, "--json"))
    bare = tmp_path / "bare.safetensors"
    shutil.copy(tmp_path / "model.safetensors", bare)
    said = [
        "--backbone",
        "resnet18",
        "--set",
        "last_stride=1",
        "--set",
        "pooling=max",
        "--input-size",
        "64x32",
    ]
    assert json.loads(call(bare, "--data", data, "--json", *said)) == told
    other = ["--set", "pooling=avg", "--input-size", "96x48"]
    changed = json.loads(call(tmp_path / "model.safetensors", "--data", data, "--json", *other))
    assert changed == json.loads(call(bare, "--data", data, "--json", *said[:4], *other))
    assert changed != told
    split = json.loads(
        call(tmp_path / "model.safetensors", "--data", data, "--json", "--split", "validation")
    )
    assert (split["validation_share"], split["seed"]) == (0.3, 4)
    with pytest.raises(ConfigError, match="a bare state dict needs --backbone"):
        call(bare, "--data", data)


def test_the_classifier_of_a_runs_weights_is_judged_as_that_of_the_run(data: Path, tmp_path: Path) -> None:
    known = len({one.person_id for one in split_validation(load_dataset("synthetic", data), 0.3, 4).train})
    save_file(build("osnet_x0_25", known).state_dict(), tmp_path / "model.safetensors")
    config = TrialConfig(
        backbone="osnet_x0_25", input_size=SIZE, validation_share=0.3, seed=4, method="none"
    ).to_dict()
    write_json(tmp_path / "config.json", config)
    answers = [
        call(one, "--data", data, "--classification", "--json")
        for one in (tmp_path, tmp_path / "model.safetensors")
    ]
    assert answers[0] == answers[1]
    write_json(tmp_path / "config.json", config | {"loss": "arcface"})
    with pytest.raises(ConfigError, match="arcface, which leaves the classifier as it was"):
        call(tmp_path / "model.safetensors", "--data", data, "--classification")
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match=f"slimmed by plan.json; name {tmp_path}"):
        call(tmp_path / "model.safetensors", "--data", data)
