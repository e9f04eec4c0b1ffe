"""What the driver and the runner say to each other, in plain values; neither knows how the other works."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from reid.errors import ConfigError

__all__ = ["Answer", "Job", "Resources", "Sign", "Supply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where trials run and what each may use.

    Attributes:
        cpus_per_trial: cores and threads of one trial, >= 1.
        gpus_per_trial: GPUs of one trial; a fraction shares one; 0 hides them; None gives one to each trial where
            the cluster has any.
        max_concurrent: trials at once; None runs as many as the resources allow.
        address: of a Ray cluster to join ("auto" or HOST:PORT); None starts one on this machine.
        silence_s: seconds without a sign of life after which a worker counts as lost.
        stage_limit_s: seconds that one stage of a trial may compute; None sets no limit.
        grace_s: seconds after the word to stop in which running trials may still finish their step.
    """

    cpus_per_trial: int = 1
    gpus_per_trial: float | None = None
    max_concurrent: int | None = None
    address: str | None = None
    silence_s: float = 300.0
    stage_limit_s: float | None = None
    grace_s: float = 20.0

    def __post_init__(self) -> None:
        gpus = self.gpus_per_trial
        if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != int(gpus))):
            raise ConfigError(f"--gpus-per-trial must be a share of 0 to 1 or a whole number, got {gpus:g}")
        if self.stage_limit_s is not None and self.stage_limit_s <= 0:
            raise ConfigError(f"--stage-limit-s must be above 0, got {self.stage_limit_s:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt of one trial.

    Attributes:
        number: of the trial, -1 for the baseline.
        attempt: how often it was begun, this time included, >= 1.
        function: dotted path "module:name" of what runs it: `name(job, contact) -> outcome`; `contact` is a
            `search.contact.Contact`, called with a line to say something.
        work: folder that this attempt may write to; the worker's signs of life lie there as well.
        payload: JSON values for the function.
    """

    number: int
    attempt: int
    function: str
    work: Path
    payload: dict[str, Any] = field(default_factory=dict)

    SIGN: ClassVar[str] = "alive.json"
    """Name of that file within `work`."""

    @property
    def sign_of_life(self) -> Path:
        """File that the worker writes again and again while it lives."""
        return self.work / self.SIGN

    @property
    def stop_request(self) -> Path:
        """File whose presence asks the worker to stop after its running step."""
        return self.work / "stop"

    @property
    def log(self) -> Path:
        """File that holds what the worker prints and says."""
        return self.work / "log.txt"

    def to_json(self) -> str:
        """One JSON text; `from_json` gives the job back."""
        return json.dumps(
            {
                "number": self.number, "attempt": self.attempt, "function": self.function,
                "work": str(self.work), "payload": self.payload,
            }
        )  # fmt: skip

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "work": Path(values["work"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A sign of life.

    Attributes:
        count: another with each sign of an attempt.
        said: last line that the trial said.
        stage: what is being computed; empty between stages.
        stage_s: for how long, in seconds.
        spent: stages computed by the job's attempts so far, as records hold them.
    """

    count: int
    said: str = ""
    stage: str = ""
    stage_s: float = 0.0
    spent: Sequence[dict[str, Any]] = ()

    def to_json(self) -> str:
        """One JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The last sign in `path`, or None where there is none that can be read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a job; either an outcome or an error.

    Attributes:
        outcome: what the trial function returned, unchecked.
        error: {"kind", "message"}; kind is the class of the exception.
        worker: where it ran.
    """

    outcome: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    worker: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One JSON text; NaN and infinities survive, for the driver to judge."""
        return json.dumps({"outcome": self.outcome, "error": self.error, "worker": self.worker})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


class Supply(Protocol):
    """The driver as the runner sees it. All calls come from one thread of the driver's process."""

    @property
    def finished(self) -> bool:
        """Whether no further job will ever come."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether running jobs are to stop after their running step."""
        ...

    @property
    def abandoned(self) -> bool:
        """Whether to leave at once, without waiting for running jobs."""
        ...

    def take(self) -> Job | None:
        """The next job, or None while there is none."""
        ...

    def keep_going(self, job: Job, epoch: int, figures: Mapping[str, float]) -> bool:
        """Whether a running job goes on after an epoch that it reported."""
        ...

    def settle(self, job: Job, answer: Answer) -> None:
        """Take the answer to a job; must not raise for anything that an answer holds."""
        ...

    def fail(self, error: Exception) -> None:
        """Take an error of the runner or of the driver itself; the search cannot go on."""
        ...

    def heard(self, job: Job, said: str) -> None:
        """Note what a running job said last."""
        ...
