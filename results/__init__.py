"""Facts about trials: record, store, cache, front, pick, package, report.

Imports without torch, ray and optuna.
"""

from results.cache import DiskCache
from results.front import pareto_front
from results.hold import Hold, driver_of, hold_study
from results.hypervolume import hypervolume
from results.lock import StudyLock, lock_holder
from results.record import Record
from results.store import commit, commit_artifact, commit_fact, create_study, note_started, rebuild_table
from results.study import Started, Study, open_study

__all__ = [
    "DiskCache",
    "Hold",
    "Record",
    "Started",
    "Study",
    "StudyLock",
    "commit",
    "commit_artifact",
    "commit_fact",
    "create_study",
    "driver_of",
    "hold_study",
    "hypervolume",
    "lock_holder",
    "note_started",
    "open_study",
    "pareto_front",
    "rebuild_table",
]
