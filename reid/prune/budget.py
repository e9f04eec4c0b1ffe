"""Which widths lose least importance within a budget: a greedy walk by price, then what is left is given back."""

import heapq
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.errors import ConfigError

__all__ = ["Costs", "importance_lost", "widths_within"]

_AHEAD = 4
"""Latency falls in steps; a walk that looked at the next width only would stop before each."""


class Costs(Protocol):
    """What a network costs by the widths of its units."""

    def total(self, widths: Sequence[int]) -> float:
        """Of all layers."""
        ...

    def around(self, unit: int, widths: Sequence[int]) -> float:
        """Of the layers that write or read a unit."""
        ...


def importance_lost(layers: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """What a unit loses with its weakest 0, 1, 2, ... channels, on a scale that is the same for all units.

    In each layer the squared norm of a filter counts as a share of those that stay as long as it does, so the scale of
    a layer's weights does not matter; a channel that several tied layers write counts in each. The weakest are those
    of smallest norm, all layers together.

    Args:
        layers: (n, D) finite weights of each layer that writes the unit, one filter a row, n >= 1.

    Returns:
        (n + 1,) float64, from 0, never falling.

    Source: Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning, ICLR 2021, equation 1 (LAMP), of
    filters in place of weights.
    """
    squared = np.array([np.square(np.asarray(rows, dtype=np.float64)).sum(axis=1) for rows in layers])
    squared = squared[:, np.argsort(squared.sum(axis=0), kind="stable")]
    remaining = np.cumsum(squared[:, ::-1], axis=1)[:, ::-1]
    shares = np.divide(squared, remaining, out=np.zeros_like(squared), where=remaining > 0)
    lost: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(shares.sum(axis=0))])
    return lost


def widths_within(
    options: Sequence[Sequence[int]], losses: Sequence[Sequence[float]], costs: Costs, budget: float
) -> list[int]:
    """Narrow units, each time where the least importance goes for what is saved, until the network fits.

    Costs depend on products of widths, so prices are taken anew as the network narrows. What the last step saved too
    much is given back to the units that lost most.

    Args:
        options: widths that each unit may have, falling, from its full width.
        losses: importance lost at each option, rising from 0.
        costs: of the network.
        budget: largest total cost.

    Returns:
        The place of each unit's width in its options.

    Raises:
        ConfigError: the network does not fit at its narrowest.

    Source: the knapsack of Shen et al., Structural Pruning via Latency-Saliency Knapsack (HALP), NeurIPS 2022, section
    3.2, walked greedily by the price of NetAdapt (Yang et al., ECCV 2018).
    """
    at = [0] * len(options)
    widths = [own[0] for own in options]
    # A step makes its neighbours' savings smaller and so their prices higher: one that is still the lowest when it is
    # taken anew is the lowest of all.
    prices = [
        step for unit in range(len(at)) if (step := _best_step(unit, options, losses, costs, at, widths))
    ]
    heapq.heapify(prices)
    spent = costs.total(widths)
    while spent > budget:
        if not prices:
            raise ConfigError(
                f"no allocation fits: at its narrowest the network costs {spent:.4g}, the budget is {budget:.4g}; "
                "raise the budget or max_layer_rate"
            )
        unit = heapq.heappop(prices)[1]
        step = _best_step(unit, options, losses, costs, at, widths)
        if step is not None and (not prices or step <= prices[0]):
            before = costs.around(unit, widths)
            at[unit] = step[2]
            widths[unit] = options[unit][at[unit]]
            spent += costs.around(unit, widths) - before
            step = _best_step(unit, options, losses, costs, at, widths)
        if step is not None:
            heapq.heappush(prices, step)
    _give_back(options, losses, costs, budget, at, widths)
    return at


def _best_step(
    unit: int,
    options: Sequence[Sequence[int]],
    losses: Sequence[Sequence[float]],
    costs: Costs,
    at: Sequence[int],
    widths: Sequence[int],
) -> tuple[float, int, int] | None:
    """Importance lost for each unit of cost saved, the unit and the option; None where nothing narrower is cheaper."""
    now, here = costs.around(unit, widths), at[unit]
    best: tuple[float, int, int] | None = None
    for place in range(here + 1, min(here + _AHEAD, len(options[unit]) - 1) + 1):
        tried = [*widths]
        tried[unit] = options[unit][place]
        saved = now - costs.around(unit, tried)
        if saved > 0:
            price = (losses[unit][place] - losses[unit][here]) / saved
            best = min(best, (price, unit, place)) if best is not None else (price, unit, place)
    return best


def _give_back(
    options: Sequence[Sequence[int]],
    losses: Sequence[Sequence[float]],
    costs: Costs,
    budget: float,
    at: list[int],
    widths: list[int],
) -> None:
    spent = costs.total(widths)

    def last_loss(unit: int) -> float:
        return losses[unit][at[unit]] - losses[unit][at[unit] - 1]

    for unit in sorted((unit for unit in range(len(at)) if at[unit]), key=last_loss, reverse=True):
        while at[unit]:
            before = costs.around(unit, widths)
            widths[unit] = options[unit][at[unit] - 1]
            wider = spent + costs.around(unit, widths) - before
            if wider > budget:
                widths[unit] = options[unit][at[unit]]
                break
            at[unit], spent = at[unit] - 1, wider
