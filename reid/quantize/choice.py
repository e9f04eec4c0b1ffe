"""Which of several measured files to keep."""

from collections.abc import Sequence
from dataclasses import dataclass

from reid.errors import ConfigError

__all__ = ["TIE", "Candidate", "choose"]

TIE = 0.03
"""Share of the latency below which two files count as equally fast, as timings of one file differ by as much when the
machine is idle; then the more faithful one is kept, so that a layer turns to int8 for a real gain only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One file as it was measured.

    Attributes:
        name: of the way it was found.
        float_layers: layers that stay float, in the order of the network.
        latency_ms: median, measured in turns with the other candidates.
        error: one minus the mean cosine to the fp32 embeddings.
        drop: mean average precision that it costs among the images it was judged by.
    """

    name: str
    float_layers: tuple[str, ...]
    latency_ms: float
    error: float
    drop: float


def choose(candidates: Sequence[Candidate], max_drop: float) -> Candidate:
    """The fastest candidate whose drop is allowed; among those as fast, the one with the least error.

    A candidate with no quantized layer has no drop, so there is always one where it is among them.

    Args:
        candidates: at least one; latencies above 0.
        max_drop: largest drop.

    Raises:
        ConfigError: none is allowed.
    """
    allowed = [one for one in candidates if one.drop <= max_drop]
    if not allowed:
        raise ConfigError(f"no candidate costs less than {max_drop:g} mAP; raise max_quantization_drop")
    fastest = min(one.latency_ms for one in allowed)
    return min(
        (one for one in allowed if one.latency_ms <= fastest * (1 + TIE)),
        key=lambda one: (one.error, one.latency_ms, one.name),
    )
