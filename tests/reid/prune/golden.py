"""Selections of the published programs on small weights that a formula gives."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = json.loads((Path(__file__).parent / "golden_selection.json").read_text())


def golden_cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = _GOLDEN[name]
    assert cases
    return cases


def golden_weight(case: dict[str, Any]) -> NDArray[np.float32]:
    index = np.arange(math.prod(case["shape"]), dtype=np.float64)
    value = 43758.5453 * np.sin(12.9898 * index + case["s"])
    return (value - np.floor(value) - 0.5).astype(np.float32).reshape(case["shape"])
