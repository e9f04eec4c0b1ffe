"""How much disk a study may use: limits of the stage cache and of the artifacts."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reid.errors import ConfigError
from results import Record, Study, pareto_front
from results.eviction import size_of
from results.layout import artifact_folder
from results.store import clear_artifact, discard_artifact
from search.halving import order_by_domination

__all__ = ["ArtifactKeeper", "DiskLimits", "parse_bytes"]

_UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLimits:
    """What a search may leave on the disk.

    Attributes:
        cache_bytes: of the stage cache; None sets no limit.
        artifact_bytes: of the exported files of all trials; None sets no limit. Those of the front are kept
            whatever they take.
    """

    cache_bytes: int | None = None
    artifact_bytes: int | None = None


class ArtifactKeeper:
    """Discards the artifacts that the front needs least while a search goes on.

    Args:
        study: its artifacts count from the start.
        limit_bytes: what they may take together, the baseline's left out; None keeps all.
        still_ours: raises where another driver has the study; called before anything is removed.
    """

    def __init__(
        self, study: Study, limit_bytes: int | None, still_ours: Callable[[], None] = lambda: None
    ) -> None:
        self._study, self._limit_bytes, self._still_ours = study, limit_bytes, still_ours
        self._held: dict[int, _Held] = {}
        if limit_bytes is not None:
            gone = study.discarded()
            for number in gone:
                if artifact_folder(study.path, number).is_dir():
                    clear_artifact(study, number)
            for record in study.records():
                if record.number not in gone:
                    self._note(record)

    def committed(self, record: Record) -> tuple[int, ...]:
        """Count the artifact of a trial that was just committed, and make room where that is too much.

        Of the trials off the front, those go first that can never be on it (limits broken, stopped early), then those
        that are dominated most; one whose latency is not trusted counts by its figures, for it may be timed again.

        Returns:
            Numbers of the trials whose artifacts were discarded.

        Raises:
            ResourceError: the study cannot be written.
            StudyInUse: another driver took over.
        """
        if self._limit_bytes is None:
            return ()
        self._note(record)
        excess = sum(held.size_bytes for held in self._held.values()) - self._limit_bytes
        gone: list[int] = []
        for number in self._dispensable() if excess > 0 else ():
            if excess <= 0:
                break
            self._still_ours()
            discard_artifact(self._study, number, f"removed to keep --artifact-limit {self._limit_bytes} B")
            excess -= self._held.pop(number).size_bytes
            gone.append(number)
        return tuple(gone)

    def _note(self, record: Record) -> None:
        if record.artifact is None:
            return
        objectives = self._study.objectives
        able = record.feasible and all(name in record.metrics for name in objectives)
        folder = artifact_folder(self._study.path, record.number)
        # The mirror of a study in an object store lacks what another machine has put there.
        size_bytes = size_of(folder) if folder.is_dir() else int(record.metrics.get("size_bytes", 0))
        self._held[record.number] = _Held(
            size_bytes=size_bytes,
            values=[record.metrics[name] for name in objectives] if able else None,
            trusted=record.latency_trusted,
        )

    def _dispensable(self) -> list[int]:
        """Numbers of the trials off the front that hold files, the most dispensable first."""
        unable = [number for number, held in self._held.items() if held.values is None]
        able = {number: held.values for number, held in self._held.items() if held.values is not None}
        if not able:
            return unable
        numbers, values = list(able), np.array(list(able.values()))
        directions = list(self._study.objectives.values())
        trusted = np.array([self._held[number].trusted for number in numbers])
        on_front = np.zeros(len(numbers), dtype=np.bool_)
        on_front[trusted] = pareto_front(values[trusted], directions)
        worst_first = order_by_domination(values, directions)[::-1]
        return unable + [numbers[row] for row in worst_first if not on_front[row]]


@dataclass(frozen=True, slots=True)
class _Held:
    """An artifact on the disk.

    Attributes:
        size_bytes: that it takes.
        values: objectives of its trial; None where that can never be on the front.
        trusted: whether its latency is; only then it is on the front as yet.
    """

    size_bytes: int
    values: list[float] | None
    trusted: bool


def parse_bytes(text: str, option: str) -> int:
    """Bytes out of "20GB", "500 MiB" or a plain number.

    Raises:
        ConfigError: the text is none of these; names `option`.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?i?B?)\s*", text)
    unit = None if match is None else {"K": "kB", "M": "MB", "G": "GB", "T": "TB"}.get(match[2], match[2])
    if match is None or unit not in _UNITS:
        raise ConfigError(f"{option} takes bytes such as 20GB, 500MiB or 1000000, got {text!r}")
    return round(float(match[1]) * _UNITS[unit])
