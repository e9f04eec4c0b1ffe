"""What training by a term alone does to retrieval of identities that it never saw."""

import pytest
import torch
from torch import Tensor, nn

from reid.losses import LOSSES, LossContext, LossInput, build_loss

IDENTITIES, IMAGES, SIGNAL, NUISANCE, DIM = 40, 8, 8, 24, 16
# The instance terms only push apart and need another beside them that pulls; l2 knows no images; distill-cosine wants
# a teacher of the network's width, and is distill-embedding without the map.
ALONE = sorted(set(LOSSES) - {"l2", "instance", "instance-id", "distill-cosine"})


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(SIGNAL + NUISANCE, DIM)
        self.classifier = nn.Linear(DIM, IDENTITIES)


def world(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images whose identity lies in few of many directions, labels, and a teacher that sees these only."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(IDENTITIES).repeat_interleave(IMAGES)
    codes = torch.randn(IDENTITIES, SIGNAL, generator=generator)[labels]
    signal = codes + 0.3 * torch.randn(len(labels), SIGNAL, generator=generator)
    nuisance = 2 * torch.randn(len(labels), NUISANCE, generator=generator)
    return torch.cat([signal, nuisance], 1), labels, signal


def rank1(model: Linear, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        rows = nn.functional.normalize(model.embed(images))
    cosines = (rows @ rows.T).fill_diagonal_(-2)
    return (labels[cosines.argmax(1)] == labels).float().mean().item()


def trained(spec: str, steps: int) -> Linear:
    torch.manual_seed(0)
    images, labels, teacher = world(seed=1)
    model = Linear()
    centres = torch.stack([teacher[labels == label].mean(0) for label in range(IDENTITIES)])
    loss = build_loss(
        spec,
        LossContext(model=model, embedding_dim=DIM, num_classes=IDENTITIES, teacher_centres=centres),
    )
    optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=0.01)
    for _ in range(steps):
        chosen = torch.randperm(IDENTITIES)[:8]
        rows = (chosen[:, None] * IMAGES + torch.randint(IMAGES, (8, 4))).flatten()
        embedding = model.embed(images[rows])
        terms = loss(
            LossInput(
                feature=embedding,
                embedding=embedding,
                logits=model.classifier(embedding),
                labels=labels[rows],
                teacher=teacher[rows],
            )
        )
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("name", ALONE)
def test_unseen_identities_are_told_apart_better(name: str) -> None:
    images, labels, _ = world(seed=2)
    before, after = (rank1(trained(name, steps), images, labels) for steps in (0, 150))
    assert after > 3 * before, f"rank-1 {before:.3f} before, {after:.3f} after"
