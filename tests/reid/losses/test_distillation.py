"""Distillation terms against loops, and what must not change them."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.registries import check_names
from tests.reid.losses.batches import CLASSES, DIM, batch, context, term, unit

Rows = NDArray[np.float64]

RELATIONS = ("distill-angle", "distill-distance", "distill-similarity")


def huber(difference: float) -> float:
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def distance(student: Rows, teacher: Rows) -> float:
    pairs = list(itertools.combinations(range(len(student)), 2))
    relative = []
    for rows in (student, teacher):
        distances = np.array([np.linalg.norm(rows[i] - rows[j]) for i, j in pairs])
        relative.append(distances / distances.mean())
    return np.mean([huber(own - wanted) for own, wanted in zip(*relative, strict=True)])


def angle(student: Rows, teacher: Rows) -> float:
    def cosine(rows: Tensor, i: int, j: int, k: int) -> float:
        one, two = rows[i] - rows[j], rows[k] - rows[j]
        return one @ two / np.linalg.norm(one) / np.linalg.norm(two)

    triplets = list(itertools.permutations(range(len(student)), 3))
    return np.mean([huber(cosine(student, *t) - cosine(teacher, *t)) for t in triplets])


def similarity(student: Rows, teacher: Rows) -> float:
    divergences = []
    for i in range(len(student)):
        others = [j for j in range(len(student)) if j != i]
        own, wanted = (np.exp(rows[others] @ rows[i] / 0.1) for rows in (student, teacher))
        own, wanted = own / own.sum(), wanted / wanted.sum()
        divergences.append((wanted * np.log(wanted / own)).sum())
    return np.mean(divergences)


REFERENCES = dict(zip(RELATIONS, (angle, distance, similarity), strict=True))


@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_relations_of_the_batch(name: str, seed: int) -> None:
    images = batch(seed, size=7)
    expected = REFERENCES[name](unit(images.embedding), unit(images.teacher))
    assert term(name)(images).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_student_that_is_the_teacher_turned_and_stretched_costs_nothing(name: str, seed: int) -> None:
    images = batch(seed)
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.normal(size=(DIM, DIM)))[0]
    stretch = random.uniform(0.1, 30, (len(images.labels), 1))
    turned = dataclasses.replace(
        images, embedding=images.teacher @ torch.tensor(turn) * torch.tensor(stretch)
    )
    assert term(name)(turned).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_of_others_cost_something(name: str) -> None:
    assert term(name)(batch()).item() > 1e-3


def test_scale_of_the_students_distances_has_no_gradient() -> None:
    # The mean distance divides out, so moving all apart by one factor must not pay.
    angles = torch.tensor([0.0, 0.1, 0.25, 0.45], dtype=torch.float64)
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    # On an arc, chords grow nearly with the angle.
    embedding = torch.stack([torch.cos(1e-3 * factor * angles), torch.sin(1e-3 * factor * angles)], 1)
    term("distill-distance")(batch(size=4, embedding=embedding)).backward()
    assert abs(factor.grad.item()) < 1e-6


def test_image_that_the_batch_holds_twice_has_no_angle() -> None:
    images = batch(size=6)
    twice = [0, 0, 1, 2, 3, 4]
    noise = 1e-9 * torch.randn(6, DIM, generator=torch.Generator().manual_seed(0)).double()
    embedding = (images.embedding[twice] + noise).requires_grad_()
    loss = term("distill-angle")(
        dataclasses.replace(images, embedding=embedding, teacher=images.teacher[twice])
    )
    loss.backward()
    assert embedding.grad.abs().max() < 1


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_embedding_is_one_minus_the_cosine_after_a_linear_map(seed: int) -> None:
    torch.manual_seed(seed)
    images, module = batch(seed), term("distill-embedding")
    (matrix,) = module.parameters()
    assert matrix.shape == (DIM, DIM)
    mapped = unit(images.embedding @ matrix.T)
    expected = np.mean([1 - own @ wanted for own, wanted in zip(mapped, unit(images.teacher), strict=True)])
    assert module(images).item() == pytest.approx(expected, rel=1e-6)


def test_teacher_of_another_width() -> None:
    wider = torch.randn(CLASSES, DIM + 2, generator=torch.Generator().manual_seed(3)).double()
    (matrix,) = term("distill-embedding", teacher_centres=wider).parameters()
    assert matrix.shape == (DIM + 2, DIM)
    with pytest.raises(ConfigError, match=f"{DIM + 2} wide, the network's {DIM}; take distill-embedding"):
        term("distill-cosine", teacher_centres=wider)


def test_cosine_is_one_minus_the_cosine() -> None:
    images = batch()
    expected = np.mean(
        [1 - own @ wanted for own, wanted in zip(unit(images.embedding), unit(images.teacher), strict=True)]
    )
    assert term("distill-cosine")(images).item() == pytest.approx(expected, rel=1e-6)


def test_embedding_is_zero_where_the_map_makes_the_teacher() -> None:
    images, module = batch(), term("distill-embedding")
    with torch.no_grad():
        module.regressor.weight.copy_(torch.randn(DIM, DIM))
    same = dataclasses.replace(images, teacher=7 * (images.embedding @ module.regressor.weight.T).detach())
    assert module(same).item() == pytest.approx(0, abs=1e-9)


def test_map_of_the_embedding_is_trained() -> None:
    images, module = batch(), term("distill-embedding")
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    first = module(images).item()
    for _ in range(30):
        optimizer.zero_grad()
        module(images).backward()
        optimizer.step()
    assert module(images).item() < first - 0.1


def softened(logits: Rows) -> Rows:
    shares = np.exp(np.asarray(logits) / 4)
    return shares / shares.sum()


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_logits_by_the_divergence_of_softened_shares(seed: int) -> None:
    images = batch(seed)
    wanted = 32 * unit(images.teacher) @ unit(context().teacher_centres).T
    divergences = [
        sum(w * math.log(w / o) for w, o in zip(softened(row), softened(own), strict=True))
        for row, own in zip(wanted, images.logits.numpy(), strict=True)
    ]
    found = term("distill-logit")(images).item()
    assert found == pytest.approx(16 * np.mean(divergences), rel=1e-6)


def test_logits_equal_to_the_teachers_cost_nothing() -> None:
    images = batch()
    wanted = torch.tensor(32 * unit(images.teacher) @ unit(context().teacher_centres).T)
    same = dataclasses.replace(images, logits=wanted + torch.arange(12)[:, None])
    assert term("distill-logit")(same).item() == pytest.approx(0, abs=1e-9)


def test_network_of_other_classes_is_refused() -> None:
    images = dataclasses.replace(batch(), logits=torch.randn(12, CLASSES + 1).double())
    with pytest.raises(ConfigError, match="5 identities, a network of 6 classes; build it with 5"):
        term("distill-logit")(images)


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize("setting", ["loss", "finetune_loss", "qat_loss"])
def test_relations_of_two_images_are_refused_before_any_work(name: str, setting: str) -> None:
    pair: dict[str, Any] = {"sampler": "random", "batch_size": 2, "teacher": "dense", setting: name}
    if setting == "loss":
        pair |= {"finetune_loss": "triplet"}
    if setting == "qat_loss":
        pair = {key: value for key, value in pair.items() if key != "teacher"} | {"quantization": "int8-qat"}
    with pytest.raises(ConfigError, match=f"batch_size 2 is too few for {name} of {setting} '{name}'"):
        check_names(TrialConfig(**pair))
