"""Heads: what they are made of, and what each part of them sees."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from reid.models import ReIDNetwork, build
from reid.models.heads import chosen_branches
from tests.contract.deployment import randomise_batch_norm

IMAGES = torch.randn(4, 3, 96, 32, generator=torch.Generator().manual_seed(1))


def network(**options: object) -> ReIDNetwork:
    torch.manual_seed(0)
    made = build("resnet18", 7, width=0.25, **options)
    randomise_batch_norm(made)
    return made


def test_linear_head_is_the_baselines_block() -> None:
    made = build("resnet18", 7, head="linear")
    linear, norm, classifier = made.reduce[0], made.bottleneck, made.classifier
    assert (linear.in_features, linear.out_features, norm.num_features) == (512, 512, 512)
    assert (classifier.in_features, classifier.out_features) == (512, 7)
    assert made.dropout.p == 0.5
    assert linear.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.02)
    assert not linear.bias.any()
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert classifier.weight.std().item() == pytest.approx(1e-4, rel=0.1)
    assert not classifier.bias.any()


def test_linear_embedding_is_the_normalised_linear_map_of_the_pooled_one() -> None:
    made = network(head="linear").eval()
    linear, norm = made.reduce[0], made.bottleneck
    with torch.no_grad():
        linear.bias.uniform_(-1, 1)
        _, embedding = made.embed(IMAGES)
        mapped = made.extract(IMAGES).mean((2, 3)) @ linear.weight.T + linear.bias
        expected = (mapped - norm.running_mean) / (
            norm.running_var + norm.eps
        ).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(embedding, expected, rtol=1e-4, atol=1e-4)


def test_metric_loss_of_the_linear_head_sees_the_normalised_feature() -> None:
    output = network(head="linear")(IMAGES)
    torch.testing.assert_close(output.feature, output.embedding, rtol=0, atol=0)
    other = network(head="bnneck")(IMAGES)
    assert not torch.allclose(other.feature, other.embedding)


@pytest.mark.parametrize(("head", "share"), [("bnneck", 0.0), ("linear", 0.5), ("pcb", 0.5)])
def test_dropout_is_the_heads_unless_asked_otherwise(head: str, share: float) -> None:
    assert network(head=head).dropout.p == share
    assert network(head=head, dropout=0.2).dropout.p == 0.2


def test_dropout_hides_the_embedding_from_the_classifier_only() -> None:
    made = network(head="bnneck", dropout=0.9)
    output = made(IMAGES)
    torch.testing.assert_close(output.embedding, made.bottleneck(output.feature))
    assert not torch.allclose(output.logits, made.classifier(output.embedding))


def test_pcb_embedding_is_the_concatenation_of_its_parts() -> None:
    made = network(head="pcb", parts=3, last_stride=1).eval()
    norm = made.bottleneck
    with torch.no_grad():
        feature, embedding = made.embed(IMAGES)
        x = made.extract(IMAGES)
        assert x.shape[2] == 6
        areas = [x[:, :, 0:2], x[:, :, 2:4], x[:, :, 4:6], x]
        for index, (area, layer) in enumerate(zip(areas, made.reduce, strict=True)):
            part = slice(256 * index, 256 * (index + 1))
            expected = area.mean((2, 3)) @ layer.weight.T + layer.bias
            torch.testing.assert_close(feature[:, part], expected)
            normed = nn.functional.batch_norm(
                expected, norm.running_mean[part], norm.running_var[part], norm.weight[part], norm.bias[part]
            )
            torch.testing.assert_close(embedding[:, part], normed)
    assert made.embedding_dim == embedding.shape[1] == 4 * 256


def test_each_part_has_a_classifier_of_its_own() -> None:
    made = network(head="pcb", parts=3, dropout=0.0)
    output = made(IMAGES)
    assert output.logits.shape == (4, 4, 7)
    for index, layer in enumerate(made.classifier):
        part = output.embedding[:, 256 * index : 256 * (index + 1)]
        torch.testing.assert_close(output.logits[:, index], part @ layer.weight.T + layer.bias)


def test_parts_that_are_not_chosen_are_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reid.models.headed.chosen_branches", lambda branches, draws: torch.tensor([0, 2]))
    made = network(head="pcb", parts=3, drop_branches=3)
    output = made(IMAGES)
    assert output.logits.shape == (4, 2, 7)
    output.logits.square().sum().backward()
    reached = [bool(layer.weight.grad.any()) for layer in made.classifier]
    assert reached == [True, False, True, False]
    assert [bool(layer.weight.grad.any()) for layer in made.reduce] == reached


def test_branches_are_drawn_with_replacement() -> None:
    torch.manual_seed(0)
    counts = Counter(len(chosen_branches(7, 6)) for _ in range(4000))
    # Each branch survives with (6/7)^6.
    mean = sum(size * times for size, times in counts.items()) / 4000
    assert mean == pytest.approx(7 * (6 / 7) ** 6, abs=0.06)
    assert min(counts) >= 1


def test_one_branch_stays_when_all_are_hit() -> None:
    torch.manual_seed(0)
    last = Counter(int(chosen_branches(2, 64)) for _ in range(400))
    assert set(last) == {0, 1}
    assert min(last.values()) > 150
    assert chosen_branches(5, 0).tolist() == [0, 1, 2, 3, 4]


def test_every_branch_is_drawn_in_training() -> None:
    torch.manual_seed(3)
    made = network(head="pcb", parts=2, drop_branches=2)
    sizes = {made(IMAGES).logits.shape[1] for _ in range(20)}
    assert sizes == {1, 2}
    assert made.eval()(IMAGES).shape == (4, 3 * 256)


@pytest.mark.parametrize("head", ["bnneck", "linear", "pcb"])
def test_osnet_takes_other_heads_without_its_own(head: str) -> None:
    torch.manual_seed(0)
    made = build("osnet_x0_25", 7, head=head)
    assert not any(name.startswith("fc.") for name in made.state_dict())
    assert made.reduce(tuple(torch.zeros(2, 128) for _ in range(7 if head == "pcb" else 1))).shape[0] == 2
    output: Tensor = made(IMAGES).embedding
    assert output.shape == (4, {"bnneck": 128, "linear": 512, "pcb": 7 * 256}[head])
