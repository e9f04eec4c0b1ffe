"""Networks built once for all tests of this room: filling 30 million weights takes its time."""

import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch

from reid.models import ReIDNetwork, build


@cache
def _built(name: str) -> ReIDNetwork:
    torch.manual_seed(0)
    return build(name, 7)


@pytest.fixture
def built() -> Callable[[str], ReIDNetwork]:
    """`built(name)`: a fresh copy of the network of seven identities, in training mode."""
    return lambda name: copy.deepcopy(_built(name))
