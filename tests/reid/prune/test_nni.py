"""NNI decides the masks, our plan carries them out."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.models import ReIDNetwork
from reid.prune import find_units, nni_plan, norm_selection, slim, unit_rates

pytest.importorskip("nni", reason="nni is an extra")

Build = Callable[[str], ReIDNetwork]
CONFIG = TrialConfig(method="hfp", prune_rate=0.5)


class Practice:
    """Random images, and the mean square of the logits as loss."""

    steps, learning_rate = 10, 0.01

    def __init__(self, twin: nn.Module) -> None:
        self.twin, self.seen = twin.train(), 0

    def batches(self) -> Iterator[Tensor]:
        while True:
            self.seen += 1
            yield torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(self.seen))

    def loss(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.twin.classifier(self.twin.embed(batch)[1])  # type: ignore[operator]
        return logits.square().mean()


@pytest.mark.parametrize("scope", ["inner", "grouped"])
@pytest.mark.parametrize("pruner", ["l1", "l2", "fpgm", "taylor", "slim", "agp"])
def test_each_pruner_gives_a_legal_plan(pruner: str, scope: str, network: Build) -> None:
    model = network("resnet18")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = dataclasses.replace(CONFIG, scope=scope)
    units, rates = find_units(model, config.scope), unit_rates(model, config)
    plan = nni_plan(model, units, rates, pruner=pruner, round_to=16, practise=Practice)
    plan.validate(model)
    assert all(len(plan.kept[unit.name]) == unit.width // 2 for unit in units)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    slim(model, plan)


@pytest.mark.parametrize(("pruner", "order"), [("l1", 1), ("l2", 2)])
def test_norms_of_nni_are_ours(pruner: str, order: int, network: Build) -> None:
    model = network("resnet18")
    units, rates = find_units(model, "inner"), {unit.name: 0.3 for unit in find_units(model, "inner")}
    plan = nni_plan(model, units, rates, pruner=pruner, round_to=1, practise=Practice)
    for unit in units:
        weight = model.get_submodule(unit.name).weight
        assert list(plan.removed(unit)) == norm_selection(weight, 0.3, order=order).tolist()


def test_nothing_to_prune_is_no_work_for_nni(network: Build) -> None:
    model = network("resnet18")
    units = find_units(model, "inner")
    plan = nni_plan(
        model, units, dict.fromkeys((u.name for u in units), 0.0), pruner="l1", round_to=1, practise=Practice
    )
    assert plan.removed_share == 0


def test_an_absent_nni_is_named(monkeypatch: pytest.MonkeyPatch, network: Build) -> None:
    from reid.prune import nni

    def missing(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(nni.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"methods nni-\.\.\. need NNI: pip install .*'\.\[nni\]'"):
        nni.demand_nni()
