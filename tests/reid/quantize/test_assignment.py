"""The split between integers and floats against trying every split."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from reid.quantize.assignment import LayerCosts, cheapest_floats, layer_edges, layer_times
from reid.quantize.placement import float_nodes
from tests.reid.quantize.graphs import chain_with_gate

COST = st.floats(0, 10).map(lambda value: round(value, 2))


def total(
    floats: set[str], costs: dict[str, LayerCosts], edges: dict[tuple[str, str], int], switch_ms: float
) -> float:
    layers = sum(cost.float_ms if name in floats else cost.int8_ms for name, cost in costs.items())
    switches = sum(times for (one, other), times in edges.items() if (one in floats) != (other in floats))
    return layers + switch_ms * switches


@given(
    st.lists(st.tuples(COST, COST), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8),
    COST,
)
def test_no_other_split_is_faster(
    times: list[tuple[float, float]], pairs: list[tuple[int, int]], switch_ms: float
) -> None:
    names = [f"layer{at}" for at in range(len(times))]
    costs = {
        name: LayerCosts(float_ms=pair[0], int8_ms=pair[1]) for name, pair in zip(names, times, strict=True)
    }
    edges = {
        (names[one], names[other]): 1
        for one, other in pairs
        if one != other and max(one, other) < len(names) and (other, one) not in pairs
    }
    found = total(set(cheapest_floats(costs, edges, switch_ms=switch_ms)), costs, edges, switch_ms)
    every = (
        total({name for name, chosen in zip(names, chosen_, strict=True) if chosen}, costs, edges, switch_ms)
        for chosen_ in product((False, True), repeat=len(names))
    )
    assert abs(found - min(every)) < 1e-6


def test_caution_and_harm_keep_layers_float() -> None:
    costs = {"even": LayerCosts(float_ms=1.0, int8_ms=0.9, harm=0.5)}
    assert cheapest_floats(costs, {}) == set()
    assert cheapest_floats(costs, {}, caution=1.2) == {"even"}
    assert cheapest_floats(costs, {}, harm_ms=1.0) == {"even"}


def test_layers_that_pass_values_through_others_are_neighbours() -> None:
    edges = layer_edges(chain_with_gate().graph)
    assert edges == {("first", "second"): 1, ("first", "gate"): 1, ("second", "last"): 1, ("gate", "last"): 1}


def test_time_goes_to_the_layer_before() -> None:
    times = {"conv_first": 1.0, "relu_out": 0.25, "conv_second": 2.0, "unknown": 9.0, "product": 0.5}
    found = layer_times(chain_with_gate().graph, times)
    assert found == {"first": 1.25, "second": 2.0, "gate": 0.5, "last": 0.0}


def test_activations_follow_their_layer_and_joins_a_whole_side() -> None:
    graph = chain_with_gate().graph
    assert float_nodes(graph, []) == set()
    assert float_nodes(graph, ["first"]) == {"conv_first", "relu"}
    assert float_nodes(graph, ["second"]) == {"conv_second"}
    assert float_nodes(graph, ["gate"]) == {"conv_gate", "sigmoid"}
    assert float_nodes(graph, ["second", "gate"]) == {"conv_second", "conv_gate", "sigmoid", "join"}
    assert float_nodes(graph, ["last"]) == {"conv_last", "join"}
