"""Hands the driver's jobs to Tune as its suggestions, and the answers back."""

import time
from typing import Any

from ray.tune.search import Searcher

from reid.errors import NoDevice
from search.jobs import Answer, Job, Supply
from search.runner.capacity import Share, capacity

__all__ = ["Queue", "Unsaved"]

_COUNT_EVERY_S = 2.0


class Unsaved:
    """Pickles as nothing: Tune saves what it is given for a restore that never happens here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Queue(Unsaved, Searcher):  # type: ignore[misc]
    """Suggests the driver's jobs.

    Attributes:
        live: job of each Tune trial that has no answer yet.
        held: Tune trials that keep a broken device from being given to anybody else.
        closed: set when Tune is left; nothing is settled any more.
    """

    def __init__(self, supply: Supply, share: Share, most: int | None) -> None:
        super().__init__()
        self.live: dict[str, Job] = {}
        self.held: dict[str, str] = {}
        self.closed = False
        self._supply, self._share, self._most = supply, share, most
        self._room = self._most_room = 0
        self._count_at = 0.0

    @property
    def only_holders(self) -> bool:
        """Whether nothing runs any more but what keeps broken devices, and nothing will."""
        return bool(self.held) and not self.live and self._supply.finished

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job, nothing for now, or the word that there will be none."""
        if self._supply.finished:
            return str(Searcher.FINISHED)
        try:
            job = self._supply.take() if self._has_room() else None
        except Exception as error:
            # Tune would swallow it.
            self._supply.fail(error)
            return str(Searcher.FINISHED)
        if job is None:
            return None
        self.live[trial_id] = job
        return {"job": job.to_json(), "threads": self._share.cpus, "gpus": self._share.gpus}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Hand over the answer of a worker that stays to keep a broken device."""
        if "answer" in result and trial_id in self.live:
            answer = Answer.from_json(result["answer"])
            self.held[trial_id] = (answer.error or {}).get("message", "")
            self.settle(trial_id, answer)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Hand over an answer, or what a stopped trial had; what was lost comes through `lost`, with the reason."""
        said = None if error or result is None else result.get("answer", result.get("so_far"))
        if said is not None:
            self.settle(trial_id, Answer.from_json(said))

    def lost(self, trial_id: str, answer: Answer) -> None:
        """Take the word that a worker is gone."""
        self.held.pop(trial_id, None)
        self.settle(trial_id, answer)

    def settle(self, trial_id: str, answer: Answer) -> None:
        """Hand the answer of a live trial to the driver, once."""
        job = self.live.pop(trial_id, None)
        if job is not None and not self.closed:
            self._supply.settle(job, answer)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Save nothing: the study's records are all there is to resume from."""

    def _has_room(self) -> bool:
        """Whether a trial fits now; nodes come and go, so they are counted again and again.

        Raises:
            NoDevice: every place has a broken device.
        """
        now = time.monotonic()
        if now >= self._count_at:
            self._room, self._count_at = capacity(self._share), now + _COUNT_EVERY_S
            self._most_room = max(self._most_room, self._room)
        # A node that is gone may come back; one that was never there is not waited for.
        if self.held and len(self.held) >= self._most_room:
            raise NoDevice(f"every device failed; the last one: {list(self.held.values())[-1]}")
        usable = self._room - len(self.held)
        return len(self.live) < (usable if self._most is None else min(usable, self._most))
