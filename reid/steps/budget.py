"""Rates by a budget of latency or multiply-accumulates: predicted from layers, corrected by the network as a whole."""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reid.config import TrialConfig
from reid.errors import ConfigError, ResourceError
from reid.export import MODEL_FILE, export_onnx
from reid.models import ReIDNetwork, count
from reid.prune import find_units, kept_count, slim
from reid.prune.allocate import layer_filters
from reid.prune.budget import importance_lost, widths_within
from reid.prune.layers import LayerCost, NetworkCosts, macs_of, shapes_of
from reid.prune.methods import planned
from reid.prune.units import PruneUnit
from reid.runtime import open_artifact, version_of
from reid.steps.deploy import input_spec
from reid.steps.layer_times import LayerTimes
from reid.steps.workshop import Workshop
from reid.timing import compare
from reid.timing.machine import cpu_name

__all__ = ["Allocation", "budget_parameters", "rates_within_budget"]

MOST_TRIES = 5
ABOVE, BELOW = 0.02, 0.05
"""By how much the whole network may cost more, or less, than its budget, as shares of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """How much each unit loses, and how that was found.

    Attributes:
        rates: by unit name.
        by: "latency" or "macs".
        budget: wanted cost, as a share of the dense network's.
        reached: cost of the slim network as a whole, as the same share.
        predicted: the same by the sum over layers.
        lost: importance lost, see `importance_lost`.
        tries: slim networks that were looked at.
        trusted: whether the machine was quiet while the one chosen was timed, and while the budget was where none was
            given; of "macs" always.
    """

    rates: Mapping[str, float]
    by: str
    budget: float
    reached: float
    predicted: float
    lost: float
    tries: int
    trusted: bool


def budget_parameters(config: TrialConfig) -> dict[str, Any]:
    """Whatever an allocation by budget depends on besides the network, as JSON values."""
    by_latency = config.macs_budget is None
    target = {"target": dataclasses.asdict(config.target), "version": version_of(config.target.runtime)}
    machine = {**target, "cpu": cpu_name()} if by_latency else {}
    return {
        "latency_budget": config.latency_budget,
        "macs_budget": config.macs_budget,
        "input_size": list(config.input_size),
        "flip": config.flip_embedding,
        **machine,
    }


def rates_within_budget(work: Workshop, model: ReIDNetwork, round_to: int) -> Allocation:
    """The rates with which the slimmed network meets its budget and loses least importance.

    Layers are costed one by one; as a network is not the sum of its layers, each proposal is slimmed and measured in
    turns with the dense network (its multiply-accumulates counted), and the budget of the sum is moved by the
    difference, until the whole comes within 2 % above or 5 % below, five times at most.

    Args:
        work: the trial, with `allocate` "latency".
        model: dense network; left as it is.
        round_to: kept counts are multiples of this.

    Raises:
        ConfigError: the budget is too small for the network, or the target's runtime cannot time layers.
        ResourceError: a budget that can be met was not, because timings were disturbed.
    """
    config = work.config
    units = find_units(model, config.scope)
    whole = _Whole(work, model, round_to)
    costs = NetworkCosts(model, units, config.input_size, _layer_cost(work, model, units))
    options = [_options(unit, config.max_layer_rate, round_to) for unit in units]
    dense = costs.total([unit.width for unit in units])
    budget, quiet = config.macs_budget or config.latency_budget, True
    if budget is None:
        budget, quiet = whole.share(
            {unit.name: min(config.prune_rate, config.max_layer_rate) for unit in units}
        )
    losses = [_losses(model, unit, own) for unit, own in zip(units, options, strict=True)]
    found: list[Allocation] = []
    # Sums in another order end in other last digits.
    least = costs.total([own[-1] for own in options]) * (1 + 1e-9)
    inner = max(budget * dense, least)
    for attempt in range(1, MOST_TRIES + 1):
        narrowest = inner == least
        at = widths_within(options, losses, costs, inner)
        widths = [own[place] for own, place in zip(options, at, strict=True)]
        rates = {unit.name: 1 - width / unit.width for unit, width in zip(units, widths, strict=True)}
        reached, trusted = whole.share(rates)
        found.append(
            Allocation(
                rates=rates, by=whole.by, budget=budget, reached=reached, trusted=trusted and quiet,
                predicted=costs.total(widths) / dense, tries=attempt,
                lost=sum(own[place] for own, place in zip(losses, at, strict=True)),
            )
        )  # fmt: skip
        if budget * (1 - BELOW) <= reached <= budget * (1 + ABOVE) or narrowest:
            break
        inner = max(_corrected(inner / dense, reached, budget) * dense, least)
    return _best(found, narrowest=narrowest)


def _corrected(asked: float, reached: float, budget: float) -> float:
    """The share to ask of the layers next: what else a network does does not shrink with them."""
    # reached = fixed + (1 - fixed) * asked
    fixed = (reached - asked) / (1 - asked)
    return (budget - fixed) / (1 - fixed) if fixed < 1 else 0.0


def _best(found: Sequence[Allocation], *, narrowest: bool) -> Allocation:
    """The costliest that keeps within the budget; where none does, whether that may pass is told by the error."""
    within = [one for one in found if one.reached <= one.budget * (1 + ABOVE)]
    if not within:
        nearest = min(found, key=lambda one: one.reached)
        if not narrowest or not nearest.trusted:
            raise ResourceError(
                f"no network within {nearest.by}_budget {nearest.budget:.3g} was found in {len(found)} tries, the "
                f"nearest takes {nearest.reached:.3g}; the machine was too busy to time networks"
            )
        raise ConfigError(
            f"{nearest.by}_budget {nearest.budget:.3g}: the nearest network found takes {nearest.reached:.3g} of the "
            "dense one's; raise the budget or max_layer_rate"
        )
    return dataclasses.replace(max(within, key=lambda one: one.reached), tries=len(found))


def _options(unit: PruneUnit, max_layer_rate: float, round_to: int) -> list[int]:
    """Widths that slimming can give a unit, falling; at most `max_layer_rate` of it goes."""
    counts = {
        kept_count(unit.width, gone / unit.width, round_to)
        for gone in range(int(unit.width * max_layer_rate) + 1)
    }
    return sorted(counts, reverse=True)


def _losses(model: ReIDNetwork, unit: PruneUnit, options: Sequence[int]) -> list[float]:
    lost = importance_lost([rows.numpy() for rows in layer_filters(model, unit)])
    return [float(lost[unit.width - kept]) for kept in options]


def _layer_cost(work: Workshop, model: ReIDNetwork, units: Sequence[PruneUnit]) -> LayerCost:
    if work.config.macs_budget is not None:
        return macs_of
    times = LayerTimes(work.config.target, work.lock)
    times.measure(shapes_of(model, units, work.config.input_size))
    return times


class _Whole:
    """Cost of slim networks as a whole, as a share of the dense one's."""

    def __init__(self, work: Workshop, model: ReIDNetwork, round_to: int) -> None:
        self._work, self._model, self._round_to = work, model, round_to
        self.by = "latency" if work.config.macs_budget is None else "macs"

    def share(self, rates: Mapping[str, float]) -> tuple[float, bool]:
        """Cost of the network slimmed by `rates`, and whether to trust it."""
        config = self._work.config
        with self._work.lock.shared():
            plan = planned(self._model, config, rates=rates, round_to=self._round_to)
            small = slim(self._model, plan)
        if self.by == "macs":
            return count(small, config.input_size).macs / self._dense_macs, True
        timing = compare(
            [self._dense_timer, self._timer(small)],
            lock=self._work.lock,
            rounds=10,
            seconds=0.3,
            threads=config.target.threads,
            affinity=config.target.affinity,
        )
        return float(np.median(timing.rounds_ms[1] / timing.rounds_ms[0])), timing.trusted

    @cached_property
    def _dense_macs(self) -> int:
        return count(self._model, self._work.config.input_size).macs

    @cached_property
    def _dense_timer(self) -> Callable[[], None]:
        return self._timer(self._model)

    def _timer(self, network: ReIDNetwork) -> Callable[[], None]:
        config = self._work.config
        with tempfile.TemporaryDirectory(prefix="reid-pareto-budget-") as folder, self._work.lock.shared():
            artifact = export_onnx(network, input_spec(config, network), Path(folder) / MODEL_FILE)
            return open_artifact(artifact.path, config.target).timer()
