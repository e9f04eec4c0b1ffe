"""What holds for every term, and for sums of them."""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.losses import LOSSES, LossInput, build_loss, needs_teacher, parse_loss
from tests.reid.losses.batches import CLASSES, DIM, batch, context, term

TENSORS = ("feature", "embedding", "logits")
PROXIES = ("am-softmax", "arcface", "cosface", "sphereface")


def watched(given: LossInput) -> LossInput:
    return dataclasses.replace(
        given, **{key: getattr(given, key).clone().requires_grad_() for key in TENSORS}
    )


def gradients(name: str, given: LossInput) -> list[Tensor]:
    given = watched(given)
    module = term(name)
    module(given).backward()
    leaves = [getattr(given, key) for key in TENSORS] + list(module.parameters())
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


def with_rows(rows: Tensor) -> LossInput:
    given = batch(size=len(rows))
    labels = torch.arange(len(rows)) // 4 % CLASSES
    return dataclasses.replace(given, feature=rows.clone(), embedding=rows.clone(), labels=labels)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_step_against_the_gradient_lowers_the_term(name: str) -> None:
    given, module, layers = watched(batch()), term(name), context().model
    if name == "l2":
        module = LOSSES[name](context(model=layers.double()))
    before = module(given)
    before.backward()
    with torch.no_grad():
        moved = [getattr(given, key) for key in TENSORS] + [*module.parameters(), *layers.parameters()]
        for leaf in moved:
            if leaf.grad is not None:
                leaf -= 1e-5 * leaf.grad
    assert module(given).ndim == 0
    assert module(given) < before


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"l2"}))
@pytest.mark.parametrize("size", [8, 40])
@pytest.mark.parametrize("value", [1.0, 0.0])
def test_gradient_of_equal_rows_is_finite(name: str, size: int, value: float) -> None:
    for rows in (torch.full((size, DIM), value), torch.full((size, DIM), value).double()):
        found = gradients(name, with_rows(rows.double()))
        assert found
        assert all(torch.isfinite(gradient).all() for gradient in found)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"l2"}))
def test_gradient_of_nearly_equal_rows_stays_small(name: str) -> None:
    twins = torch.randn(6, DIM, generator=torch.Generator().manual_seed(1)).double().repeat_interleave(2, 0)
    noise = 1e-9 * torch.randn(12, DIM, generator=torch.Generator().manual_seed(2)).double()
    given = with_rows(twins + noise)
    given = dataclasses.replace(given, teacher=batch(size=6).teacher.repeat_interleave(2, 0))
    assert all(gradient.abs().max() < 1e3 for gradient in gradients(name, given))


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"l2"}))
def test_batch_of_one_identity_gives_a_finite_term_with_a_gradient(name: str) -> None:
    given = dataclasses.replace(batch(), labels=torch.ones(12, dtype=torch.long))
    assert all(torch.isfinite(gradient).all() for gradient in gradients(name, given))


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"l2"}))
def test_order_of_the_images_does_not_matter(name: str) -> None:
    given, module = batch(size=16), term(name)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    shuffled = dataclasses.replace(
        given, **{f.name: getattr(given, f.name)[order] for f in dataclasses.fields(given)}
    )
    assert module(shuffled).item() == pytest.approx(module(given).item(), rel=1e-9)


@pytest.mark.parametrize("name", ["softmax", "focal", "distill-logit"])
def test_parts_are_averaged(name: str) -> None:
    given, module = batch(), term(name)
    parts = [given.logits, 2 * given.logits, given.logits.flip(1)]
    each = [module(dataclasses.replace(given, logits=part)) for part in parts]
    together = module(dataclasses.replace(given, logits=torch.stack(parts, 1)))
    assert together.item() == pytest.approx(sum(each).item() / 3, rel=1e-9)


@pytest.mark.parametrize("name", PROXIES)
def test_vectors_of_the_identities_are_trained(name: str) -> None:
    loss = build_loss(f"softmax + 0.5*{name}", context())
    (proxies,) = loss.parameters()
    assert proxies.numel() == DIM * CLASSES
    before = proxies.detach().clone()
    given = watched(dataclasses.replace(batch(), feature=batch().feature.float()))
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
    first = loss(given)[name]
    first.backward()
    assert (proxies.grad != 0).all()
    assert given.feature.grad.any()
    optimizer.step()
    assert (proxies != before).all()
    assert loss(given)[name] < first


@pytest.mark.parametrize("name", PROXIES)
def test_vectors_of_the_identities_learn_to_tell_features_apart(name: str) -> None:
    feature = 4 * torch.eye(CLASSES, DIM).repeat_interleave(4, 0)
    given = dataclasses.replace(
        batch(size=4 * CLASSES), feature=feature, labels=torch.arange(4 * CLASSES) // 4
    )
    torch.manual_seed(0)
    loss = build_loss(name, context())
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss(given)[name].backward()
        optimizer.step()
    (proxies,) = loss.parameters()
    assert torch.equal((feature @ proxies).argmax(1), given.labels)


def test_trained_vectors_are_saved_and_come_back() -> None:
    loss, other = build_loss("arcface+l2", context()), build_loss("arcface+l2", context())
    assert list(loss.state_dict()) == ["terms.arcface.loss.W"]
    other.load_state_dict(copy.deepcopy(loss.state_dict()))
    assert torch.equal(other(batch())["arcface"], loss(batch())["arcface"])


def test_distillation_centres_are_not_saved() -> None:
    assert list(build_loss("distill-logit+distill-embedding", context()).state_dict()) == [
        "terms.distill-embedding.regressor.weight"
    ]


def test_a_sum_is_each_term_times_its_weight() -> None:
    loss = build_loss("softmax + 0.25*triplet + 3*circle", context())
    found = loss(batch())
    assert list(found) == ["softmax", "triplet", "circle"]
    for name, weight in {"softmax": 1, "triplet": 0.25, "circle": 3}.items():
        torch.testing.assert_close(found[name], weight * term(name)(batch()))


@pytest.mark.parametrize(
    ("spec", "weights"),
    [
        ("softmax", {"softmax": 1.0}),
        (" triplet + softmax ", {"triplet": 1.0, "softmax": 1.0}),
        ("softmax+1e-3 * l2", {"softmax": 1.0, "l2": 0.001}),
        ("0.5*circle+2*multi-similarity", {"circle": 0.5, "multi-similarity": 2.0}),
    ],
)
def test_weights_are_read(spec: str, weights: dict[str, float]) -> None:
    assert parse_loss(spec) == weights


@pytest.mark.parametrize("spec", ["tripel+softmax", "", "softmax+", "softmax,triplet", "0.5*", "softmax*0.5"])
def test_unknown_term_lists_the_known(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"term of loss .*known: am-softmax, arcface, circle"):
        parse_loss(spec)


def test_unknown_term_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean arcface\?"):
        parse_loss("softmax+arc-face")


@pytest.mark.parametrize("factor", ["", "0", "-1", "nan", "inf", "half", "0.5*2"])
def test_weight_that_is_no_positive_number_is_refused(factor: str) -> None:
    with pytest.raises(ConfigError, match="is no weight; give a positive number"):
        parse_loss(f"softmax + {factor}*circle")


def test_term_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names softmax twice"):
        parse_loss("softmax+0.5*softmax")


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_term_needs_a_teacher_or_builds_without(name: str) -> None:
    without = context(teacher=False)
    assert needs_teacher(f"softmax+{name}" if name != "softmax" else name) == name.startswith("distill-")
    if needs_teacher(name):
        with pytest.raises(ConfigError, match="need a teacher"):
            build_loss(name, without)
    else:
        assert isinstance(build_loss(name, without), nn.Module)
