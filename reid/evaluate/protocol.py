"""The rules of an evaluation: everything that may be chosen, and the line that states all of it."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from reid.errors import ConfigError

__all__ = ["Protocol", "Rerank", "Spectral"]

_LARGEST_SCALE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerank:
    """Settings of `reid.evaluate.rerank`; the defaults are those of the paper for Market-1501.

    Attributes:
        k1: neighbours that must be mutual, >= 1.
        k2: neighbours that a neighbourhood is averaged over, the image itself counted, >= 1.
        lambda_value: weight of the distance that was there before, in [0, 1].
    """

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self) -> None:
        for name in ("k1", "k2"):
            _demand_count(f"{name} of re-ranking", getattr(self, name))
        if not 0 <= self.lambda_value <= 1:
            raise ConfigError(f"lambda_value of re-ranking must be in [0, 1], got {self.lambda_value}")

    def __str__(self) -> str:
        return f"k-reciprocal re-ranking (k1 {self.k1}, k2 {self.k2}, lambda {self.lambda_value:g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectral:
    """Settings of `reid.evaluate.spectral_distances`.

    Attributes:
        temperature: of the softmax over similarities, > 0.
        top: images at the head of each ranking that are scored again, >= 1.
    """

    temperature: float = 0.5
    top: int = 50

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"temperature of the spectral transform must be above 0, got {self.temperature}"
            )
        _demand_count("top of the spectral transform", self.top)

    def __str__(self) -> str:
        return f"top {self.top} scored again spectrally (temperature {self.temperature:g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How images are embedded, compared and counted; figures compare only under equal protocols.

    Attributes:
        no_match: a query without a match is left out ("skip", the field's usual) or counts as a miss with zero
            average precision ("count", the denominators of the layumi baseline).
        same_camera: "remove" the query's identity in the query's own camera from its ranking, or "keep" it as a
            match.
        junk: "remove" images of identity -1 from the gallery, or "keep" them as wrong.
        distractors: "keep" images of identity 0 as wrong, or "remove" them.
        multi_query: a query is the mean over further images of its identity and camera.
        flip: the unit embeddings of an image and its mirror image are added.
        scales: areas relative to the image at which it is embedded, in (0, 4]; the unit embeddings are added.
        rerank: how all distances are computed anew, or None.
        spectral: how the head of each ranking is scored again, or None; not together with `rerank`.
    """

    no_match: Literal["skip", "count"] = "skip"
    same_camera: Literal["remove", "keep"] = "remove"
    junk: Literal["remove", "keep"] = "remove"
    distractors: Literal["keep", "remove"] = "keep"
    multi_query: bool = False
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    rerank: Rerank | None = None
    spectral: Spectral | None = None

    def __post_init__(self) -> None:
        _demand_word("no_match", self.no_match, ("skip", "count"))
        for name in ("same_camera", "junk", "distractors"):
            _demand_word(name, getattr(self, name), ("keep", "remove"))
        if not self.scales or not all(0 < scale <= _LARGEST_SCALE for scale in self.scales):
            raise ConfigError(
                f"scales must be numbers above 0 and at most {_LARGEST_SCALE:g}, got {self.scales}"
            )
        if len(set(self.scales)) < len(self.scales):
            raise ConfigError(f"scales must differ from each other, got {self.scales}")
        if self.rerank and self.spectral:
            raise ConfigError("re-ranking and the spectral transform exclude each other; choose one")

    @property
    def comparison(self) -> str:
        """How a query is compared with the gallery, in words."""
        return f"cosine, {self.spectral}" if self.spectral else str(self.rerank or "cosine")

    def line(self, comparison: str) -> str:
        """All rules in one line, with `comparison` in the place of what this protocol would compare by."""
        parts = ["multi-query" if self.multi_query else "single query"]
        parts += ["flip"] if self.flip else []
        if self.scales != (1.0,):
            parts.append(f"scales {' and '.join(f'{scale:g}' for scale in self.scales)}")
        kept_or_removed = {"keep": "kept", "remove": "removed"}
        parts += [
            comparison,
            f"junk {kept_or_removed[self.junk]}",
            f"distractors {kept_or_removed[self.distractors]}",
            f"same camera {kept_or_removed[self.same_camera]}",
            f"queries without a match: {self.no_match}",
        ]
        return ", ".join(parts)

    def __str__(self) -> str:
        return self.line(self.comparison)


def _demand_word(name: str, value: str, words: Collection[str]) -> None:
    if value not in words:
        raise ConfigError(f"{name} must be {' or '.join(words)}, got {value!r}")


def _demand_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
