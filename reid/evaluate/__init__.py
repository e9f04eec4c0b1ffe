"""How well embeddings find a person again: ranking figures, and the loop that gets them from an artifact."""

from reid.evaluate.evaluate_runtime import evaluate
from reid.evaluate.rank import RankingResult, protocol_name, rank

__all__ = ["RankingResult", "evaluate", "protocol_name", "rank"]
