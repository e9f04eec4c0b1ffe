"""Structures are shared by networks that differ in their weights only, and take any number of images."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from reid.export import structure
from reid.export.trace import trace

SIZE = (16, 8)


class Cut(nn.Module):
    """A convolution of which some channels are kept; which ones no parameter says."""

    def __init__(self, channels: int = 6, kept: tuple[int, ...] = (0, 2)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3)
        self.kept = list(kept)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).mean((2, 3))[:, self.kept]


class Folded(nn.Module):
    """Makes more images of each image, so that a size of its own depends on their number."""

    def forward(self, images: Tensor) -> Tensor:
        halves = images.reshape(images.shape[0] * 2, 3, SIZE[0] // 2, SIZE[1])
        return halves.amax((2, 3)).reshape(images.shape[0], 6)


class Viewed(nn.Module):
    """Says "what remains" in a shape that begins with the number of images."""

    def forward(self, images: Tensor) -> Tensor:
        halves = images.view(images.shape[0], 6, -1).amax(2)
        return halves.view(halves.size(0), -1)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_KEPT", {})
    monkeypatch.setattr(structure, "_FIXED", (*structure._FIXED, "tests"))


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that the exporter was called with."""
    called: list[int] = []
    export = torch.onnx.export

    def counted(network: nn.Module, arguments: tuple[Tensor], **options: object) -> object:
        called.append(len(arguments[0]))
        return export(network, arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.onnx, "export", counted)
    return called


def check(network: nn.Module) -> None:
    """The traced graph and the network agree on 1, 5 and 97 images."""
    session = onnxruntime.InferenceSession(trace(network.eval(), *SIZE).SerializeToString())
    for count in (1, 5, 97):
        images = torch.randn(count, 3, *SIZE)
        with torch.no_grad():
            expected = nn.functional.normalize(network(images))
        found = session.run(None, {"images": images.numpy()})[0]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_other_weights_take_the_structure_that_is_kept(exports: list[int]) -> None:
    for _ in range(3):
        check(Cut())
    assert exports == [2]


def test_equal_weights_give_equal_bytes_traced_or_kept() -> None:
    network = Cut().eval()
    traced, kept = (trace(network, *SIZE).SerializeToString(deterministic=True) for _ in range(2))
    assert traced == kept


@pytest.mark.parametrize("other", [Cut(kept=(1, 4)), Cut(channels=7), Cut(kept=(0, 1, 2))])
def test_what_differs_in_more_than_weights_is_traced(other: nn.Module, exports: list[int]) -> None:
    check(Cut())
    check(other)
    assert len(exports) == 2


def test_another_size_is_traced(exports: list[int]) -> None:
    trace(Cut().eval(), *SIZE)
    trace(Cut().eval(), 8, 8)
    assert len(exports) == 2


@pytest.mark.parametrize("network", [Folded(), Viewed()])
def test_shapes_that_depend_on_the_number_of_images(network: nn.Module) -> None:
    check(network)


def test_only_the_last_structures_are_kept(exports: list[int]) -> None:
    for channels in (*range(6, 14), 13, 6):
        trace(Cut(channels).eval(), *SIZE)
    assert len(exports) == 9
    assert len(structure._KEPT) <= 4


def test_what_cannot_be_written_down_is_traced_each_time(exports: list[int]) -> None:
    for _ in range(2):
        network = Cut()
        network.hidden = lambda: None  # type: ignore[assignment]
        check(network)
    assert exports == [2, 2]


def test_code_that_may_change_is_traced_each_time(
    exports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    patched = Cut()
    check(patched)
    patched.forward = lambda images: 2 * patched.conv(images).amax((2, 3))  # type: ignore[method-assign]
    check(patched)
    monkeypatch.setattr(structure, "_FIXED", ("torch",))
    check(Cut())
    check(Cut())
    assert len(exports) == 4


def test_types_of_weights_belong_to_a_structure(exports: list[int]) -> None:
    first, second = (nn.Sequential(Cut()) for _ in range(2))
    second[0].register_buffer("other", torch.zeros(2, dtype=torch.float64))
    first[0].register_buffer("other", torch.zeros(2, dtype=torch.float32))
    check(first)
    check(second)
    assert len(exports) == 2


def test_state_that_is_no_tensor() -> None:
    class Extra(Cut):
        def get_extra_state(self) -> dict[str, int]:
            return {"version": 1}

        def set_extra_state(self, state: dict[str, int]) -> None:
            pass

    check(Extra())


def test_what_pickle_refuses_is_traced_all_the_same() -> None:
    network = Cut()
    nn.utils.parametrizations.weight_norm(network.conv)
    check(network)
