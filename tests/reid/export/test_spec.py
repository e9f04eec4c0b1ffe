import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from reid.export import InputSpec
from tests.contract.deployment import SPEC, people

finite = st.floats(-1e3, 1e3)
positive = st.floats(1e-3, 1e3)


@given(
    st.builds(
        InputSpec,
        height=st.integers(32, 1024),
        width=st.integers(16, 1024),
        mean=st.tuples(finite, finite, finite),
        std=st.tuples(positive, positive, positive),
        embedding_dim=st.integers(1, 4096),
        flip=st.booleans(),
    )
)
def test_survives_json(spec: InputSpec) -> None:
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 31}, "height of the input specification must be 32 to 1024, got 31"),
        ({"height": 64.0}, "height"),
        ({"width": 1025}, "width"),
        ({"width": True}, "width"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"mean": [0.5, 0.5, math.nan]}, "mean"),
        ({"mean": "abc"}, "mean"),
        ({"std": [0.2, 0.2, 0]}, "std"),
        ({"std": None}, "std"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"channel_order": "BGR"}, "channel_order of the input specification must be RGB, got 'BGR'"),
        ({"resize": "nearest"}, "resize"),
        ({"flip": 1}, "flip"),
        ({"schema": 2}, "schema 2, this version reads 1"),
        ({"hieght": 3}, "did you mean height"),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InputSpec.from_dict(SPEC.to_dict() | change)


def test_missing_keys_are_named() -> None:
    values = SPEC.to_dict()
    del values["mean"], values["flip"]
    with pytest.raises(ConfigError, match="lacks mean, flip"):
        InputSpec.from_dict(values)


def test_normalises_by_the_formula() -> None:
    images = people(3)
    expected = (images / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    result = SPEC.normalise(images)
    assert (result.dtype, result.shape) == (np.float32, (3, 3, SPEC.height, SPEC.width))
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected.transpose(0, 3, 1, 2), rtol=1e-6, atol=1e-7)


def test_views_mirror_left_and_right() -> None:
    images = people(2)
    flipping = InputSpec.from_dict(SPEC.to_dict() | {"flip": True})
    assert [view is images for view in SPEC.views(images)] == [True]
    plain, mirrored = flipping.views(images)
    np.testing.assert_array_equal(plain, images)
    np.testing.assert_array_equal(mirrored[:, :, 0], images[:, :, -1])
