"""What the cache takes for the same training: everything that matters changes the key, nothing else does."""

import dataclasses
import json
from typing import Any

import pytest
import torch

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.models import NetworkOptions, network_options
from reid.registries import check_names
from reid.steps.dense import recipe_of, stage_parameters
from reid.steps.practice import practice_parameters
from reid.steps.views import drawn_parameters
from reid.train import Recipe
from reid.train.variants import Variants, drawn_variants

CHANGES: dict[str, dict[str, Any]] = {
    "loss": {"loss": "softmax"},
    "label_smoothing": {"label_smoothing": 0.2},
    "epochs": {"epochs": 7},
    "learning_rate": {"learning_rate": 0.1},
    "backbone_rate": {"backbone_rate": 0.1},
    "warmup_epochs": {"warmup_epochs": 1},
    "schedule": {"schedule": "constant"},
    "milestones": {"schedule": "step", "milestones": (4,)},
    "optimizer": {"optimizer": "adamw"},
    "weight_decay": {"weight_decay": 0.1},
    "clip_norm": {"clip_norm": 1.0},
    "sampler": {"sampler": "random"},
    "identities_per_batch": {"identities_per_batch": 8},
    "images_per_identity": {"images_per_identity": 8},
    "batch_size": {"batch_size": 32},
    "flip": {"flip": 0.0},
    "pad_crop": {"pad_crop": 0.0},
    "erasing": {"erasing": 0.0},
    "colour_jitter": {"colour_jitter": 0.1},
    "hue": {"hue": 0.1},
    "grayscale": {"grayscale": 0.1},
    "ema_decay": {"ema_decay": 0.9},
    "ema_start": {"ema_start": 0.5},
    "validate_every": {"validate_every": 1},
    "patience": {"validate_every": 1, "patience": 2},
    "keep": {"validate_every": 1, "keep": "best"},
    "mixup": {"mixup": 0.5, "loss": "distill-embedding"},
    "precision": {"precision": "fp32"},
    "compile": {"compile": True},
    "seed": {"seed": 3},
}
DEFAULT = TrialConfig()
STAGES = ("dense", "prune", "finetune")


def text(config: TrialConfig, stage: str) -> str:
    return json.dumps(stage_parameters(config, stage), sort_keys=True)  # type: ignore[arg-type]


def test_every_setting_of_a_recipe_changes_the_key() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Recipe)}
    for name, change in CHANGES.items():
        others = {key: value for key, value in change.items() if key != name}
        alike = TrialConfig(**others) if name == "mixup" else DEFAULT
        assert text(TrialConfig(**change), "dense") != text(alike, "dense"), name


@pytest.mark.parametrize("name", CHANGES)
def test_drawn_views_have_another_key_where_they_are_others(name: str) -> None:
    drawn = [drawn_variants(50, 2, (64, 32), config) for config in (DEFAULT, TrialConfig(**CHANGES[name]))]
    first, second = ({key: getattr(one, key) for key in Variants.__slots__} for one in drawn)
    same = all(
        (part is None and second[key] is None)
        or (part is not None and second[key] is not None and torch.equal(part, second[key]))
        for key, part in first.items()
    )
    alike = drawn_parameters(DEFAULT) == drawn_parameters(TrialConfig(**CHANGES[name]))
    assert alike is same


@pytest.mark.parametrize(
    "name", ["ema_decay", "validate_every", "patience", "keep", "epochs", "learning_rate"]
)
def test_what_soft_pruning_leaves_out_does_not_change_its_key(name: str) -> None:
    assert text(TrialConfig(**CHANGES[name]), "prune") == text(DEFAULT, "prune")


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"quantization": "int8-static"}, ()),
        ({"prune_rate": 0.3}, ()),
        ({"finetune_loss": "softmax"}, ("finetune",)),
        ({"finetune_epochs": 1}, ("finetune",)),
        ({"prune_epochs": 1}, ("prune",)),
        ({"finetune_learning_rate": 0.1}, ("prune", "finetune")),
        ({"epochs": 1}, ("dense",)),
    ],
)
def test_a_setting_changes_the_keys_of_its_own_stages_only(
    change: dict[str, Any], stages: tuple[str, ...]
) -> None:
    config = TrialConfig(**change)
    assert tuple(stage for stage in STAGES if text(config, stage) != text(DEFAULT, stage)) == stages


def test_finetuning_takes_its_own_loss_and_keeps_the_rest() -> None:
    recipe = recipe_of(TrialConfig(finetune_loss="softmax", optimizer="sgd", ema_decay=0.9), "finetune")
    assert (recipe.loss, recipe.optimizer, recipe.ema_decay, recipe.epochs) == ("softmax", "sgd", 0.9, 5)


def test_network_options_are_settings_with_the_same_names_and_defaults() -> None:
    assert network_options(DEFAULT) == NetworkOptions()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": "bneck"}, "unknown head 'bneck'; did you mean bnneck?"),
        ({"backbone": "osnet_x0_25", "ibn": True}, "osnet_x0_25 does not offer ibn"),
        ({"finetune_loss": "sotfmax"}, "unknown term of loss 'sotfmax'"),
        ({"loss": "softmax+distill-distance"}, "set teacher"),
    ],
)
def test_names_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        check_names(TrialConfig(**change))


def test_what_nni_looks_at_while_it_finetunes_a_copy_counts() -> None:
    nni = TrialConfig(method="nni-taylor")
    assert practice_parameters(nni) != practice_parameters(dataclasses.replace(nni, finetune_loss="softmax"))
    taught = dataclasses.replace(
        nni, finetune_loss="softmax+distill-cosine", teacher="dense", finetune_epochs=0
    )
    assert practice_parameters(taught)["practice"]["teacher"] == {"teacher": "dense"}
    assert practice_parameters(dataclasses.replace(nni, method="bafd")) == {}


def test_quantized_networks_descend_by_adam_whatever_the_dense_one_took() -> None:
    recipe = recipe_of(TrialConfig(optimizer="sgd", learning_rate=0.065), "qat")
    assert (recipe.optimizer, recipe.learning_rate) == ("adam", TrialConfig().qat_learning_rate)
