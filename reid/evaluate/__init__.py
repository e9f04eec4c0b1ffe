"""How well embeddings find a person again: ranking figures, and the loop that gets them from an artifact."""

from reid.evaluate.evaluate_runtime import evaluate, retrieve
from reid.evaluate.protocol import Protocol, Rerank, Spectral
from reid.evaluate.rank import rank, rank_distances
from reid.evaluate.rerank import rerank
from reid.evaluate.result import RankingResult
from reid.evaluate.retrieval import Retrieval
from reid.evaluate.spectral import spectral_distances

__all__ = [
    "Protocol",
    "RankingResult",
    "Rerank",
    "Retrieval",
    "Spectral",
    "evaluate",
    "rank",
    "rank_distances",
    "rerank",
    "retrieve",
    "spectral_distances",
]
