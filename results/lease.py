"""One driver per study in an object store: a lease with a fencing number, renewed by its holder.

pyarrow offers no conditional write, so a lease is read before each commit, not at it. What that leaves open is
said in docs/storage.md.
"""

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from reid.errors import ResourceError, StudyInUse
from reid.files import write_atomic
from results.lock import Holder
from results.record import utc_now
from results.remote import Remote

__all__ = ["LEASE", "StudyLease", "lease_holder", "lease_of"]

LEASE = "study.lease.json"
_LEASE_S = 60.0
_SETTLE_S = 0.5


class StudyLease:
    """Hold a remote study for writing: `with StudyLease(remote, mirror): ...`.

    Args:
        remote: the study's place.
        mirror: the driver's folder on this machine, whose `StudyLock` the caller holds: a lease of the same machine
            and mirror then belongs to a process that is gone, and is taken over at once.
        lease_s: seconds after which a lease that was not renewed may be taken over.

    Raises:
        StudyInUse: on entering: another driver's lease is not over; names its process and machine.
        ResourceError: on entering: the store does not answer.
    """

    def __init__(self, remote: Remote, mirror: Path, *, lease_s: float = _LEASE_S) -> None:
        self._remote, self._lease_s = remote, lease_s
        self._machine = _machine(mirror)
        self._text: dict[str, Any] = {}
        self._ended = threading.Event()
        self._renewal: threading.Thread | None = None

    def __enter__(self) -> Self:
        before = lease_of(self._remote)
        if before is not None and before.get("machine") != self._machine and _is_alive(self._remote, before):
            raise StudyInUse(
                f"{self._remote.uri} is in use by process {before.get('pid')} on {before.get('host')} "
                f"since {before.get('since')}; wait for it or stop it (its lease ends {self._lease_s:g} s after it)"
            )
        self._text = {
            "fence": int((before or {}).get("fence", 0)) + 1, "token": uuid4().hex, "host": socket.gethostname(),
            "pid": os.getpid(), "machine": self._machine, "since": utc_now(), "held": True,
            "lease_s": self._lease_s,
        }  # fmt: skip
        self._put()
        # Of two that write at once the later one stays; both look after both have written.
        time.sleep(_SETTLE_S)
        self.check()
        # Not before: a thread that never starts would keep this, and with it the connection, from being freed.
        self._renewal = threading.Thread(target=self._renew, name="study-lease", daemon=True)
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._renewal is not None:
            # A renewal under way would say after us that the lease is held.
            self._renewal.join()
        try:
            self.check()
            self._text["held"] = False
            self._put()
        except (StudyInUse, ResourceError):
            # Another has it, or it ends by itself.
            return

    def check(self) -> None:
        """Make sure that the study is still ours; called before each commit.

        Raises:
            StudyInUse: another driver took over while this one was stopped or cut off.
            ResourceError: the store does not answer.
        """
        found = lease_of(self._remote)
        if found is None or found.get("token") != self._text["token"]:
            by = f"process {found.get('pid')} on {found.get('host')}" if found else "another process"
            raise StudyInUse(f"{self._remote.uri} was taken over by {by}; nothing more is written here")

    def _renew(self) -> None:
        while not self._ended.wait(self._lease_s / 4):
            try:
                self.check()
                if not self._ended.is_set():
                    self._put()
            except StudyInUse:
                return
            except ResourceError:
                continue

    def _put(self) -> None:
        self._remote.write(LEASE, json.dumps(self._text).encode())


def lease_of(remote: Remote) -> dict[str, Any] | None:
    """The lease as it stands, over or not; None when there is none that can be read."""
    try:
        found = json.loads(remote.read(LEASE))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def lease_holder(remote: Remote) -> Holder | None:
    """Who holds the lease of a study, or None; one who died without a word is named until the lease is over.

    Whoever may only read the store cannot ask its clock, and is told of the last one who did not give it back.
    """
    found = lease_of(remote)
    if found is None:
        return None
    try:
        if not _is_alive(remote, found):
            return None
    except ResourceError:
        pass
    return Holder(host=found["host"], pid=found["pid"], since=found["since"], fence=found["fence"])


def _is_alive(remote: Remote, lease: Mapping[str, Any]) -> bool:
    if not lease.get("held"):
        return False
    probe = f"study.lease.{uuid4().hex}.probe"
    # The store's clock on both sides: clocks of machines differ and jump.
    remote.write(probe, b"now")
    now_s = remote.modified_s(probe)
    remote.delete(probe)
    then_s = remote.modified_s(LEASE)
    if now_s is None or then_s is None:
        return True
    return now_s - then_s < float(lease.get("lease_s", _LEASE_S))


def _machine(mirror: Path) -> str:
    # Containers of one host share its boot_id, and often the path of a mirror that each of them has for itself.
    note = mirror.parent / "machine"
    if not note.exists():
        write_atomic(note, uuid4().hex.encode())
    boot = Path("/proc/sys/kernel/random/boot_id")
    started = boot.read_text() if boot.exists() else socket.gethostname()
    return hashlib.sha256(f"{started}{mirror.resolve()}{note.read_text()}".encode()).hexdigest()[:32]
