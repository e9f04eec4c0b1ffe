"""Every error that reid-pareto raises on purpose, as one tree; the class says what the search must do.

ReidParetoError
├── ConfigError      what was asked is wrong; never retried
│   └── NotHere      ... on this machine; another may do it, so no cache remembers it
├── DataError        the dataset is wrong; stops the study
├── ResourceError    out of memory or disk; retried once
│   └── OutOfMemory  retried once with half the batch
├── ArtifactError    parity or slim equality failed; the trial is infeasible
│   └── UnverifiedError   a package or a committed file is not what its manifest says
├── TrainingDiverged the loss or a weight is no number; the trial failed, another configuration may not
├── WorkerLost       the process or node died; retried
├── DeviceLost       an accelerator failed; it is used no more, the trial is run elsewhere
├── TimeLimit        a stage took longer than allowed; the trial failed
├── Stopped          the search was asked to stop; the trial stays begun and is continued
├── StudyDamaged     a committed record cannot be read
├── StudyInUse       another driver holds the study
├── SearchPaused     trial after trial failed in the same way
├── NoDevice         no usable device
└── NothingFeasible  no trial meets the limits
"""

from typing import ClassVar

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "DeviceLost",
    "NoDevice",
    "NotHere",
    "NothingFeasible",
    "OutOfMemory",
    "ReidParetoError",
    "ResourceError",
    "SearchPaused",
    "Stopped",
    "StudyDamaged",
    "StudyInUse",
    "TimeLimit",
    "TrainingDiverged",
    "UnverifiedError",
    "WorkerLost",
]


class ReidParetoError(Exception):
    """Root of all our errors; the message is one line that names the file, key or option and what to do.

    Attributes:
        exit_code: what the command line returns for it.
    """

    exit_code: ClassVar[int] = 2


class ConfigError(ReidParetoError):
    """A setting, option or space file is wrong; the same trial would fail again."""


class NotHere(ConfigError):  # noqa: N818 - the names say what happened, see the tree
    """A setting is wrong on this machine and may be right on another."""


class DataError(ReidParetoError):
    """The dataset is missing, damaged, or read where it must not be; no trial can go on."""


class ResourceError(ReidParetoError):
    """Memory or disk ran out; the trial may succeed smaller, later or elsewhere."""


class OutOfMemory(ResourceError):  # noqa: N818 - the names say what happened, see the tree
    """Memory of the machine or of an accelerator ran out; the trial may succeed with a smaller batch."""


class ArtifactError(ReidParetoError):
    """An exported or slimmed network does not do what its source did."""

    exit_code: ClassVar[int] = 6


class UnverifiedError(ArtifactError):
    """A file differs from the hash or the reference embeddings stored for it."""


class TrainingDiverged(ReidParetoError):  # noqa: N818 - the names say what happened, see the tree
    """A loss or a weight became NaN or infinite; the same trial would diverge again."""


class WorkerLost(ReidParetoError):  # noqa: N818 - the names say the decision, see the tree
    """The process, node or connection that ran a trial is gone; the trial is run again."""


class DeviceLost(ReidParetoError):  # noqa: N818
    """An accelerator failed under a trial; the trial is run again on another."""


class TimeLimit(ReidParetoError):  # noqa: N818
    """A stage took longer than the search allows; the same trial would again."""


class Stopped(ReidParetoError):  # noqa: N818
    """The search was asked to stop before the trial was over; nothing of it is committed, nothing is lost."""


class StudyDamaged(ReidParetoError):  # noqa: N818
    """A committed record cannot be read or does not match its checksum."""

    exit_code: ClassVar[int] = 3


class StudyInUse(ReidParetoError):  # noqa: N818
    """Another driver writes to this study."""

    exit_code: ClassVar[int] = 4


class SearchPaused(ReidParetoError):  # noqa: N818
    """Different configurations failed alike one after the other; what they share is wrong, and budget would burn."""


class NoDevice(ReidParetoError):  # noqa: N818
    """No device can run what was asked."""

    exit_code: ClassVar[int] = 5


class NothingFeasible(ReidParetoError):  # noqa: N818
    """No trial meets the limits."""

    exit_code: ClassVar[int] = 7
