"""The picture of rankings: which images, in which frames, and where."""

import numpy as np
import pytest

from reid.errors import ConfigError
from reid.evaluate import Protocol, Rerank, Retrieval
from reid.evaluate.labelled import Labelled
from reid.evaluate.ranked_list import RIGHT, WRONG, draw_ranked_lists, queries_to_show

IDS = [-1, 7, 0, 8, 7, 9]
CAMERAS = [2, 1, 2, 2, 2, 2]


def found(protocol: Protocol | None = None) -> Retrieval:
    """From near to far: junk, the query's own camera, a distractor, another person, the match, another."""
    query = Labelled.check("query", [[1.0, 0.0]], [7], [1])
    gallery = Labelled.check("gallery", [[1, 0.1 * (i + 1)] for i in range(6)], IDS, CAMERAS)
    return Retrieval.of(query, gallery, protocol or Protocol())


@pytest.mark.parametrize(
    ("protocol", "order"),
    [
        (Protocol(), [2, 3, 4, 5]),
        (Protocol(junk="keep"), [0, 2, 3, 4, 5]),
        (Protocol(same_camera="keep"), [1, 2, 3, 4, 5]),
        (Protocol(distractors="remove"), [3, 4, 5]),
    ],
)
def test_the_head_of_a_ranking_follows_the_protocol(protocol: Protocol, order: list[int]) -> None:
    assert found(protocol).first(0, 10).tolist() == order
    assert found(protocol).first(0, 2).tolist() == order[:2]


def test_re_ranked_distances_decide_where_there_are_any() -> None:
    given = found(Protocol(rerank=Rerank(k1=2, k2=1)))
    assert given.distances is not None
    kept = [i for i in np.argsort(given.distances[0], kind="stable") if i not in (0, 1)]
    assert given.first(0, 10).tolist() == kept


def test_frames_are_green_around_the_identity_and_red_around_others() -> None:
    shades = np.full((6, 16, 8, 3), 10, np.uint8) * np.arange(6, dtype=np.uint8)[:, None, None, None]
    query = np.full((1, 16, 8, 3), 255, np.uint8)
    picture = np.asarray(draw_ranked_lists(found(), [0], query, shades))
    pitch = 64 + 2 * 4 + 6
    frames = [tuple(picture[7, 7 + column * pitch].tolist()) for column in range(1, 6)]
    assert frames == [WRONG, WRONG, RIGHT, WRONG, (255, 255, 255)]
    centres = [picture[6 + 4 + 64, 6 + 4 + 32 + column * pitch].tolist() for column in range(5)]
    assert centres == [[255] * 3, [20] * 3, [30] * 3, [40] * 3, [50] * 3]


def test_queries_are_drawn_by_seed() -> None:
    many = Retrieval.of(
        Labelled.check("query", np.eye(50), list(range(1, 51)), [1] * 50),
        Labelled.check("gallery", np.eye(50), list(range(1, 51)), [2] * 50),
        Protocol(),
    )
    assert queries_to_show(many, 5, 1) == queries_to_show(many, 5, 1) != queries_to_show(many, 5, 2)
    assert len(set(queries_to_show(many, 5, 1))) == 5
    assert queries_to_show(many, 99, 0) == list(range(50))
    with pytest.raises(ConfigError, match="at least 1"):
        queries_to_show(many, 0, 0)
