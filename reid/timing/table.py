"""Latencies that were measured on this machine before, so that equal networks are timed once for the early check.

Predictions may rank, only measurements may enter a record: the table holds measurements, trusted ones only, and the
final file of a trial is always timed itself.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.errors import ResourceError
from reid.files import read_json, user_cache, write_json
from reid.timing.latency import Latency
from reid.timing.machine import cores, cpu_name
from reid.timing.sampling import MAX_KERNEL_DRIFT

__all__ = ["LatencyTable", "keep_file", "table_folder"]

_log = logging.getLogger(__name__)

_VERSION = 2
_VARIABLE = "REID_PARETO_LATENCIES"


class LatencyTable:
    """The figures of one user on one machine, a file each.

    Args:
        folder: where they lie; None takes $REID_PARETO_LATENCIES, or a folder in the user's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or table_folder()

    def find(
        self, network: Mapping[str, Any], kernel_ms: float | None = None
    ) -> tuple[dict[str, float], Latency] | None:
        """Figures of an equal network, or None where it was never timed here, or when the machine had another pace.

        Args:
            network: JSON values that decide the latency: shapes, scheme, target, versions, reference.
            kernel_ms: the calibration kernel's time that the new study goes by, if that is known.
        """
        try:
            known = read_json(self._path(network))
            figures, latency = dict(known["figures"]), Latency.from_dict(known["latency"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # A damaged entry is measured again.
        if kernel_ms and any(abs(pace / kernel_ms - 1) > MAX_KERNEL_DRIFT for pace in latency.kernel_ms):
            return None
        return figures, latency

    def keep(self, network: Mapping[str, Any], figures: Mapping[str, float], latency: Latency) -> None:
        """Keep figures, if their latency is trusted; a folder that cannot be written is left with a warning."""
        if latency.trusted:
            values = {"network": dict(network), "figures": dict(figures), "latency": latency.to_dict()}
            keep_file(self._path(network), values)

    def _path(self, network: Mapping[str, Any]) -> Path:
        text = json.dumps([_VERSION, cpu_name(), cores(), dict(network)], sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def keep_file(path: Path, values: Mapping[str, Any]) -> None:
    """Write a measurement where the next trial finds it; without it that one measures again, so none fails here."""
    try:
        write_json(path, values)
    except ResourceError as error:
        _log.warning(
            "latencies are not kept, so each is measured again (%s); set %s to a folder", error, _VARIABLE
        )


def table_folder() -> Path:
    """Where this user's measurements on this machine are kept: $REID_PARETO_LATENCIES, or the user's cache."""
    if chosen := os.environ.get(_VARIABLE):
        return Path(chosen)
    return user_cache() / "latencies"
