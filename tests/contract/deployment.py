"""A small network with every construct that ours have, and its exported file."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.export import MODEL_FILE, Artifact, InputSpec, export_onnx

SPEC = InputSpec(height=48, width=24, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), embedding_dim=24)


class TinyNetwork(nn.Module):
    """Stem, a gated depthwise branch with a residual addition through a widening 1x1, a linear head."""

    def __init__(self, embedding_dim: int = SPEC.embedding_dim) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.narrow = nn.Sequential(nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.gate = nn.Conv2d(8, 8, 1)
        self.widen = nn.Conv2d(8, 16, 1, bias=False)
        self.head = nn.Sequential(nn.Linear(16, embedding_dim), nn.BatchNorm1d(embedding_dim))

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(self.stem(images))
        y = self.depthwise(self.narrow(x))
        y = y * torch.sigmoid(self.gate(y.mean(dim=(2, 3), keepdim=True)))
        x = torch.relu(x + self.widen(y))
        embedding: Tensor = self.head(x.mean(dim=(2, 3)))
        return embedding


def tiny_network(seed: int = 0) -> TinyNetwork:
    """In evaluation mode, with batch normalisation that has seen something."""
    torch.manual_seed(seed)
    network = TinyNetwork()
    randomise_batch_norm(network, seed)
    return network.eval()


def randomise_batch_norm(network: nn.Module, seed: int = 0) -> None:
    """Statistics and scales as training leaves them, so that folding them matters."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)


def people(
    count: int, height: int = SPEC.height, width: int = SPEC.width, seed: int = 0
) -> NDArray[np.uint8]:
    """(N, height, width, 3) uint8 RGB: blocks of colour with noise, more like clothes than white noise is."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (count, 4, 2, 3))
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 2 // width
    images = blocks[:, rows[:, None], columns] + rng.normal(0, 12, (count, height, width, 3))
    return images.clip(0, 255).astype(np.uint8)


def torch_embeddings(
    network: nn.Module, images: NDArray[np.uint8], spec: InputSpec = SPEC
) -> NDArray[np.float32]:
    """What torch gives, with a normalisation written independently of ours."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double().div(255)
    x = (x - torch.tensor(spec.mean).view(3, 1, 1)) / torch.tensor(spec.std).view(3, 1, 1)
    with torch.inference_mode():
        return nn.functional.normalize(network(x.float()), dim=1).numpy()


@cache
def _exported(flip: bool) -> bytes:
    with TemporaryDirectory() as folder:
        return export_onnx(tiny_network(), _spec(flip), Path(folder) / MODEL_FILE).path.read_bytes()


def _spec(flip: bool) -> InputSpec:
    return InputSpec.from_dict(SPEC.to_dict() | {"flip": flip})


def tiny_artifact(folder: Path, *, flip: bool = False) -> Artifact:
    """`tiny_network()` exported into `folder`; exported once per run of the tests."""
    path = folder / MODEL_FILE
    path.write_bytes(_exported(flip))
    return Artifact.of(path, _spec(flip), "fp32")
