"""What the tests of a teacher's stage start from."""

from pathlib import Path

import numpy as np
import torch

from reid.config import TrialConfig
from reid.models import build
from reid.stages import NoCache
from reid.steps.data import TrialData, load_data
from reid.steps.workshop import Workshop

DISTILLED = "softmax+0.5*distill-distance"
BASE = TrialConfig(
    input_size=(64, 32), validation_share=0.3, identities_per_batch=2, images_per_identity=2, loss=DISTILLED
)


class Network:
    """Stands in for `reid.steps.dense.Network`, which imports the module under test."""

    def __init__(self, key: str = "dense-1") -> None:
        torch.manual_seed(0)
        self.model = build("osnet_x0_25", 4)
        self.key = key


def workshop(config: TrialConfig, folder: Path, said: list[str] | None = None) -> Workshop:
    return Workshop(config, NoCache(folder), (said if said is not None else []).append)


def data_of(work: Workshop, root: Path) -> TrialData:
    return load_data(work, root)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
