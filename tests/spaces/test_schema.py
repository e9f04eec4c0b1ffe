"""What a space file may say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.config import Target
from reid.errors import ConfigError
from spaces import Space, parse_space


def space(**changes: Any) -> dict[str, Any]:
    return {
        "name": "tiny",
        "dataset": "synthetic",
        "parameters": {"prune_rate": {"float": [0.3, 0.9]}},
        "objectives": {"mAP": "maximize", "latency_ms": "minimize"},
        **changes,
    }


def parameter(**values: Any) -> dict[str, Any]:
    return space(parameters={"knn": values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (space(paramters={}), "unknown key paramters; did you mean parameters?"),
        (parameter(flaot=[0, 1]), "unknown key parameters.knn.flaot; did you mean float?"),
        (parameter(zzzz=[0, 1]), "known are choice, float, int, log, when"),
        (parameter(), "exactly one of"),
        (parameter(float=[0, 1], int=[0, 1]), "exactly one of"),
        (parameter(float=[1, 0]), "range [1.0, 0.0] is empty"),
        (parameter(float=[0, float("inf")]), "finite"),
        (parameter(float=[True, 2]), "parameters.knn.float.0"),
        (parameter(float=["1", 2]), "parameters.knn.float.0"),
        (parameter(float=[1, 2, 3]), "parameters.knn.float"),
        (parameter(float="12"), "must be a list, got '12'"),
        (parameter(int=[1.5, 2]), "parameters.knn.int.0"),
        (parameter(int=[1, 2**60]), "2^53"),
        (parameter(float=[0, 1], log=True), "log needs a range above 0"),
        (parameter(choice=[1, 2], log=True), "log applies to float and int"),
        (parameter(choice=[]), "at least one value"),
        (parameter(choice=[[1, 2], [1, 2]]), "none twice"),
        (parameter(choice=[{"a": 1}]), "must be a number, a text"),
        (parameter(choice=[1, 2], when={"metod": "bafd"}), "when names metod"),
        (space(limits=["mAP > 3"]), "limit 'mAP > 3' is not understood"),
        (space(limits="mAP >= 3"), "must be a list"),
        (space(objectives={"mAP": "maximise", "latency_ms": "minimize"}), "objectives.mAP"),
        (space(objectives={"mAP": "maximize"}), "objectives"),
        (space(name="../x"), "name"),
        (space(parameters={}), "parameters"),
        (space(fixed={"loss": {"softmax": [1]}}), "must be a number, a text"),
        (space(fixed={"loss": {1: 1}}), "must name each of its values by a text, got {1: 1}"),
        (space(fixed={"prune_rate": 0.5}), "prune_rate stands in fixed and in parameters"),
        ([], "mapping"),
    ],
)
def test_errors_name_the_file_and_the_key_in_one_line(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space(values, "my.yaml")
    text = str(caught.value)
    assert text.startswith("my.yaml: ")
    assert message in text
    assert "\n" not in text
    assert len(text) < 400


def test_a_target_may_name_cores() -> None:
    found = parse_space(space(target={"runtime": "onnxruntime", "threads": 2, "affinity": [4, 5]}), "s")
    assert Target.from_dict(found.target).affinity == (4, 5)


def test_a_missing_key_is_named() -> None:
    values = space()
    del values["dataset"]
    with pytest.raises(ConfigError, match=r"my\.yaml: dataset: field required"):
        parse_space(values, "my.yaml")


def test_conditions_order_the_parameters() -> None:
    built = parse_space(
        space(
            fixed={"backbone": "resnet18"},
            parameters={
                "knn": {"int": [2, 5], "when": {"method": "bafd"}},
                "method": {"choice": ["bafd", "fpgm"], "when": {"backbone": "resnet18"}},
            },
        ),
        "x",
    )
    assert built.in_order() == ("method", "knn")
    assert built.active("method", {})
    assert built.active("knn", {"method": "bafd"})
    assert not built.active("knn", {"method": "fpgm"})
    assert not built.active("knn", {})


def test_conditions_in_a_circle_are_refused() -> None:
    circle = {"a": {"choice": [1, 2], "when": {"b": 1}}, "b": {"choice": [1, 2], "when": {"a": 1}}}
    with pytest.raises(ConfigError, match="a, b refer to each other in a circle"):
        parse_space(space(parameters=circle), "x")


_floats = st.floats(-1e6, 1e6, allow_nan=False)
_ranges = st.tuples(_floats, _floats).filter(lambda ends: ends[0] < ends[1])
_parameters = st.one_of(
    st.builds(lambda ends: {"float": list(ends)}, _ranges),
    st.builds(lambda low, width: {"int": [low, low + width]}, st.integers(-99, 99), st.integers(1, 99)),
    st.builds(
        lambda values: {"choice": values},
        st.lists(st.one_of(st.text(max_size=9), st.booleans(), st.integers(), st.lists(st.integers(), max_size=3)),
                 min_size=1, max_size=5, unique_by=repr),
    ),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from("abcdef"), _parameters, min_size=1))
def test_a_space_survives_its_own_dictionary(parameters: dict[str, Any]) -> None:
    built = parse_space(space(parameters=parameters), "x")
    assert parse_space(built.to_dict(), "x") == built
    assert isinstance(built, Space)


@pytest.mark.parametrize(
    ("values", "inside", "outside"),
    [
        ({"float": [0.3, 0.9]}, [0.3, 0.9, 0.5], [0.29, 0.91, True, "0.5", None]),
        ({"int": [2, 5]}, [2, 5], [1, 6, 2.5, True]),
        ({"choice": [[128, 64], "fp32", 1]}, [[128, 64], "fp32", 1], [[64, 128], "fp16", True, 1.0]),
    ],
)
def test_contains(values: dict[str, Any], inside: list[Any], outside: list[Any]) -> None:
    searched = parse_space(parameter(**values), "x").parameters["knn"]
    assert all(searched.contains(value) for value in inside)
    assert not any(searched.contains(value) for value in outside)


def test_a_point_asks_for_what_is_searched_there() -> None:
    parameters = {
        "knn": {"int": [2, 6], "when": {"method": "bafd"}},
        "method": {"choice": ["bafd", "fpgm"]},
        "epochs": {"int": [1, 2]},
    }
    made = parse_space(space(parameters=parameters), "test")
    assert made.point({"method": "bafd", "knn": 3, "epochs": 1}.__getitem__) == {
        "method": "bafd", "epochs": 1, "knn": 3,
    }  # fmt: skip
    assert made.point({"method": "fpgm", "epochs": 1}.__getitem__) == {"method": "fpgm", "epochs": 1}
