"""Views of an image, queries of several images, and what embeds: each against its definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reid.data import Sample
from reid.errors import ConfigError, DataError
from reid.evaluate import Protocol, retrieve
from reid.evaluate.embedder import Embedder, open_weights
from reid.evaluate.labelled import Labelled
from reid.evaluate.multi_query import averaged_queries
from reid.evaluate.views import over_views, resized
from reid.models import build


def images(count: int = 3, height: int = 8, width: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def corner_and_size(batch: np.ndarray) -> np.ndarray:
    """Sees which side is left and how large the image is, and is not of length 1."""
    first, last = batch[:, 0, 0, 0].astype(np.float32), batch[:, 0, -1, 0].astype(np.float32)
    size = np.full(len(batch), batch.shape[1] * batch.shape[2], np.float32)
    return np.stack([first, last, size], axis=1)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_one_view_is_left_alone() -> None:
    assert over_views(corner_and_size, flip=False, scales=(1.0,)) is corner_and_size


def test_flip_adds_the_unit_embedding_of_the_mirror_image() -> None:
    batch = images()
    expected = unit(unit(corner_and_size(batch)) + unit(corner_and_size(batch[:, :, ::-1])))
    assert over_views(corner_and_size, flip=True, scales=(1.0,))(batch) == pytest.approx(expected, abs=1e-6)


def test_scales_are_areas_of_the_image_itself_and_do_not_pile_up() -> None:
    seen: list[tuple[int, ...]] = []

    def embed(batch: np.ndarray) -> np.ndarray:
        seen.append(batch.shape[1:3])
        return corner_and_size(batch)

    batch = images(2, 128, 64)
    found = over_views(embed, flip=True, scales=(1.0, 1.21, 0.25))(batch)
    assert seen == [(128, 64)] * 2 + [(141, 70)] * 2 + [(64, 32)] * 2
    views = [resized(batch, scale) for scale in (1.0, 1.21, 0.25)]
    total = sum(unit(corner_and_size(v)) + unit(corner_and_size(v[:, :, ::-1])) for v in views)
    assert found == pytest.approx(unit(np.asarray(total)), abs=1e-6)
    small = Image.fromarray(batch[1]).resize((32, 64), Image.Resampling.BICUBIC)
    assert (views[2][1] == np.asarray(small)).all()


def side(features: list[list[float]], ids: list[int], cameras: list[int]) -> Labelled:
    return Labelled.check("query", features, ids, cameras)


def test_further_images_of_identity_and_camera_are_averaged() -> None:
    query = side([[9.0, 0.0], [0.0, 9.0], [5.0, 5.0]], [1, 1, 2], [1, 2, 1])
    further = side([[2.0, 0.0], [0.0, 7.0], [0.0, 3.0], [4.0, 0.0]], [1, 1, 1, 2], [1, 1, 2, 9])
    found = averaged_queries(query, further)
    # Unit features are averaged; the last query has none in its camera and keeps its own.
    assert found.features == pytest.approx(np.array([[0.5, 0.5], [0.0, 1.0], [0.5**0.5, 0.5**0.5]]))
    assert found.ids.tolist() == [1, 1, 2]


def test_no_further_image_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="no query has a multi-query image"):
        averaged_queries(side([[1.0]], [1], [1]), side([[1.0]], [1], [2]))


def test_multi_query_decides_a_ranking() -> None:
    """The query alone looks like the wrong person; the mean of its track does not."""
    pixels = {"q": (9, 0), "right": (0, 9), "wrong": (9, 1), "a": (0, 9), "b": (1, 9)}

    def picture(name: str) -> np.ndarray:
        out = np.zeros((4, 2, 3), np.uint8)
        out[0, 0, :2] = pixels[name]
        return out

    def embed(batch: np.ndarray) -> np.ndarray:
        return batch[:, 0, 0, :2].astype(np.float32)

    def samples(persons: list[int], camera: int) -> list[Sample]:
        return [Sample(Path(f"{i}"), person, camera) for i, person in enumerate(persons)]

    given = (
        samples([1], 1),
        np.stack([picture("q")]),
        samples([2, 1], 2),
        np.stack([picture("wrong"), picture("right")]),
    )
    assert retrieve(embed, *given).ranking().mAP == 0.5
    more = np.stack([picture("a"), picture("b")])
    protocol = Protocol(multi_query=True)
    found = retrieve(
        embed, *given, protocol=protocol, multi_query=samples([1, 1], 1), multi_query_images=more
    )
    assert found.ranking().mAP == 1
    assert found.ranking().protocol == str(protocol)
    with pytest.raises(ConfigError, match="needs further images"):
        retrieve(embed, *given, protocol=protocol)


@pytest.mark.parametrize("flips", [False, True])
def test_what_flips_by_itself_is_stated_and_not_flipped_twice(flips: bool) -> None:
    embedder = Embedder(embed=corner_and_size, input_size=(8, 4), demand_size=lambda size: None, flips=flips)
    stated, left = embedder.divide(Protocol())
    assert (stated.flip, left.flip) == (flips, False)
    stated, left = embedder.divide(Protocol(flip=True))
    assert (stated.flip, left.flip) == (True, not flips)


def test_every_other_size_is_asked_for_before_any_work() -> None:
    asked: list[tuple[int, int]] = []
    embedder = Embedder(embed=corner_and_size, input_size=(8, 4), demand_size=asked.append, flips=False)
    embedder.divide(Protocol(scales=(1.0, 0.25, 4.0)))
    assert asked == [(4, 2), (16, 8)]


def test_a_network_of_ones_own_that_takes_one_size_refuses_scales(tmp_path: Path) -> None:
    name = "tests.contract.own_networks:fixed_size"
    torch.save(build(name, 4).state_dict(), tmp_path / "net.pth")
    embedder = open_weights(tmp_path / "net.pth", name, (128, 64), {})
    assert embedder.embed(np.zeros((2, 128, 64, 3), np.uint8)).shape == (2, 8)
    with pytest.raises(ConfigError, match=r"scales 1\.1: .*fixed_size fails on images of 134x67 "):
        embedder.divide(Protocol(scales=(1.0, 1.1)))


def test_a_network_of_ones_own_whose_vectors_grow_refuses_scales(tmp_path: Path) -> None:
    name = "tests.contract.own_networks:grows"
    torch.save(build(name, 4).state_dict(), tmp_path / "net.pth")
    embedder = open_weights(tmp_path / "net.pth", name, (64, 32), {})
    with pytest.raises(ConfigError, match=r"scales 4: .*grows embeds images of 128x64 in another width"):
        embedder.divide(Protocol(scales=(1.0, 4.0)))
