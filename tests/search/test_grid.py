"""The regular grid."""

import itertools

import pytest

from reid.errors import ConfigError
from search.feedback import Told
from search.grid import Grid
from spaces import Space
from tests.search.conftest import make_space


def points(space: Space, seed: int = 0) -> list[dict[str, object]]:
    grid = Grid(space, seed)
    return [grid.ask(number) for number in range(grid.leave_out([]))]


def test_the_grid_is_the_product_of_its_axes() -> None:
    space = make_space(
        parameters={
            "prune_rate": {"float": [0.2, 1.0]},
            "learning_rate": {"float": [1e-4, 1.0], "log": True},
            "knn": {"int": [2, 4]},
            "epochs": {"int": [0, 100]},
            "quantization": {"choice": ["fp32", "int8-static"]},
        },
    )
    found = points(space)
    axes = [(0.2, 0.4, 0.6, 0.8, 1.0), (1e-4, 1e-3, 1e-2, 1e-1, 1.0), (2, 3, 4), (0, 25, 50, 75, 100), (0, 1)]
    assert len(found) == 5 * 5 * 3 * 5 * 2
    expected = sorted(itertools.product(*axes))
    actual = sorted(
        (p["prune_rate"], p["learning_rate"], p["knn"], p["epochs"], int(p["quantization"] != "fp32"))
        for p in found
    )
    for left, right in zip(actual, expected, strict=True):
        assert left == pytest.approx(right)


def test_inactive_parameters_do_not_multiply_points() -> None:
    parameters = {"method": {"choice": ["bafd", "fpgm"]}, "knn": {"int": [2, 5], "when": {"method": "bafd"}}}
    assert len(points(make_space(fixed={}, parameters=parameters))) == 4 + 1


def test_the_seed_shuffles_and_nothing_else() -> None:
    first, again, other = points(make_space()), points(make_space()), points(make_space(), seed=1)
    assert first == again
    assert first != other
    assert sorted(map(str, first)) == sorted(map(str, other))


def test_what_was_tried_before_is_not_asked_again() -> None:
    narrow = points(make_space(parameters={"knn": {"int": [2, 4]}}))
    grid = Grid(make_space(parameters={"knn": {"int": [2, 6]}}), 0)
    grid.rebuild(Told(number=number, params=point) for number, point in enumerate(narrow[:2]))
    grid.adopt(2, narrow[2])
    assert grid.leave_out([*narrow, {"knn": 7}]) == 2
    assert sorted(grid.ask(number)["knn"] for number in (3, 4)) == [5, 6]
    with pytest.raises(ConfigError, match="lower --trials"):
        grid.ask(5)


def test_what_others_tried_is_left_out_though_nothing_is_told_of_it() -> None:
    grid = Grid(make_space(parameters={"knn": {"int": [2, 6]}}), 0)
    assert grid.leave_out([{"knn": 2}, {"knn": 3}]) == 3
    grid.rebuild([])  # they ended early, on a limit of their own
    assert sorted(grid.ask(number)["knn"] for number in range(3)) == [4, 5, 6]


def test_beyond_the_last_point() -> None:
    grid = Grid(make_space(parameters={"knn": {"int": [2, 3]}}), 0)
    assert {grid.ask(number)["knn"] for number in (0, 1)} == {2, 3}
    with pytest.raises(ConfigError, match="2 points; lower --trials"):
        grid.ask(2)
