from hypothesis import given
from hypothesis import strategies as st

from results import Study
from results.pick import pick
from results.price import Offer, offers
from results.record import Record
from tests.results.conftest import trial
from tests.results.test_pick import InMemory

OBJECTIVES = {"mAP": "maximize", "latency_ms": "minimize"}


def told(found: tuple[Offer, ...]) -> list[tuple[str, str, int]]:
    return [(offer.given, offer.step, offer.record.number) for offer in found]


def test_a_unit_that_buys_nothing_leads_to_the_next_step(study: Study) -> None:
    choice = pick(study)
    assert choice.record.number == 5
    assert told(choice.offers) == [
        ("1 ms more", "latency_ms +2", 3),
        ("1 point of mAP less", "mAP -0.19", 8),
    ]
    assert choice.offers[0].text == (
        "1 ms more buys nothing; the smallest step that does is latency_ms +2: trial 3, mAP 0.78 (+0.04), "
        "latency_ms 5 (+2)"
    )
    assert choice.offers[0].gain == "mAP 0.78 (+0.04), latency_ms 5 (+2)"


def test_a_unit_buys_the_best_within_it() -> None:
    records = [
        trial(n, *at) for n, at in enumerate([(0.70, 3.0), (0.71, 3.5), (0.73, 4.0), (0.9, 4.1), (0.69, 2.0)])
    ]
    found = offers(records[0], records, (), OBJECTIVES)
    assert told(found) == [("1 ms more", "", 2), ("1 point of mAP less", "", 4)]
    assert found[1].text == "1 point of mAP less would buy: trial 4, mAP 0.69 (-0.01), latency_ms 2 (-1)"
    assert found[1].gain == "mAP 0.69 (-0.01), latency_ms 2 (-1)"


def test_limits_on_what_is_not_given_up_stay() -> None:
    records = [trial(0, 0.7, 3.0), trial(1, 0.8, 3.4), trial(2, 0.75, 3.3)]
    big = trial(1, 0.8, 3.4)
    big.metrics["size_bytes"] = 9e9
    choice = pick(InMemory([records[0], big, records[2]]), maximum={"latency_ms": 3.1, "size_bytes": 1e7})
    assert choice.record.number == 0
    assert told(choice.offers) == [("1 ms more", "", 2)]


def test_every_cost_is_offered_with_its_unit() -> None:
    objectives = {**OBJECTIVES, "size_bytes": "minimize"}
    records = [trial(0, 0.7, 3.0), trial(1, 0.72, 3.0), trial(2, 0.9, 3.0)]
    for record, size in zip(records, (1000.0, 1100.0, 1200.0), strict=True):
        record.metrics["size_bytes"] = size
    assert told(offers(records[0], records, (), objectives)) == [("10 % more size_bytes", "", 1)]


def test_nothing_to_buy_is_offered_nothing() -> None:
    records = [trial(0, 0.9, 1.0), trial(1, 0.8, 2.0)]
    assert offers(records[0], records, (), OBJECTIVES) == ()
    assert offers(records[0], records, (), {"mAP": "maximize"}) == ()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 30)), min_size=1, max_size=12), st.data())
def test_an_offer_gives_up_one_thing_and_wins_the_other(
    points: list[tuple[float, float]], data: st.DataObject
) -> None:
    records = [trial(n, *at) for n, at in enumerate(points)]
    chosen = data.draw(st.sampled_from(records))
    for offer in offers(chosen, records, (), OBJECTIVES):
        gives_latency = "ms more" in offer.given
        assert (offer.record.metrics["latency_ms"] > chosen.metrics["latency_ms"]) == gives_latency
        assert (offer.record.metrics["mAP"] > chosen.metrics["mAP"]) == gives_latency
        if not offer.step:
            assert _best(chosen, records, gives_latency) == offer.record.number


def _best(chosen: Record, records: list[Record], gives_latency: bool) -> int:
    """By brute force over all trials within one millisecond or one point."""
    mine = chosen.metrics
    if gives_latency:
        near = [r for r in records if 0 < r.metrics["latency_ms"] - mine["latency_ms"] <= 1 + 1e-9]
        return max(near, key=lambda r: (r.metrics["mAP"], -r.metrics["latency_ms"], -r.number)).number
    near = [r for r in records if 0 < mine["mAP"] - r.metrics["mAP"] <= 0.01 + 1e-11]
    return min(near, key=lambda r: (r.metrics["latency_ms"], -r.metrics["mAP"], r.number)).number
