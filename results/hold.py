"""Holding a study for writing, wherever it lies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from results import layout
from results.lease import StudyLease, lease_holder
from results.lock import Holder, StudyLock, lock_holder
from results.mirror import forget, mirror_folder, pull, pull_artifact, push
from results.record import BASELINE_NUMBER
from results.remote import Remote, is_remote, open_remote
from results.store import check_place
from results.study import Study

__all__ = ["Hold", "driver_of", "hold_study"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A study held for writing.

    Attributes:
        folder: the study's folder, or the local mirror of one in an object store.
        check: raises StudyInUse when another driver took over; to be called before each commit.
        remote: the object store, or None.
    """

    folder: Path
    check: Callable[[], None]
    remote: Remote | None = None

    def bind(self, study: Study) -> Study:
        """The study of `folder`, so that what is committed to it reaches the store; a new one is put there."""
        if self.remote is None:
            return study
        definition = layout.definition_path(study.path)
        if not self.remote.present([definition.name]):
            push(self.remote, study.path, definition, once=True)
        return replace(study, remote=self.remote)


@contextmanager
def hold_study(place: Path | str) -> Iterator[Hold]:
    """Hold the study at `place`, a folder or a URI, until the block ends.

    Raises:
        StudyInUse: another driver has it; names its process and machine.
        ConfigError: the URI cannot be opened, or the folder holds something else; nothing was written.
        ResourceError: the lock cannot be taken, or the store does not answer.
    """
    if not isinstance(place, str) or not is_remote(place):
        # First, because the lock is a file: a package of somebody's must stay as it is.
        check_place(Path(place))
        with StudyLock(Path(place)) as lock:
            yield Hold(folder=Path(place), check=lock.check)
        return
    remote, mirror = open_remote(place), mirror_folder(place, "driver")
    with StudyLock(mirror), StudyLease(remote, mirror) as lease:
        definition = layout.definition_path(mirror)
        if remote.present([definition.name]):
            pull(remote, mirror)
            pull_artifact(remote, mirror, BASELINE_NUMBER)
        else:
            # Left by a creation that broke off, or of a study that was removed from the store.
            forget(mirror)
        yield Hold(folder=mirror, check=lease.check, remote=remote)


def driver_of(study: Study) -> Holder | None:
    """Who drives a study at this moment, or None."""
    return lock_holder(study.path) if study.remote is None else lease_holder(study.remote)
