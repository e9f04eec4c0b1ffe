"""The study loop: asks the sampler, hands jobs to the runner, and commits what comes back.

All of it happens in the driver's process, in one thread. Workers compute and nothing else: what they return is
judged, moved and committed here, so that a worker that outlives its driver cannot touch the study.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from reid.config import Limit, TrialConfig
from reid.errors import ArtifactError, ConfigError, DeviceLost, OutOfMemory, ResourceError, SearchPaused
from reid.files import remove_tree
from results import Record, Study, commit, commit_artifact, note_started
from results.layout import artifact_folder, work_folder
from results.record import BASELINE_NUMBER, utc_now
from results.reserve import Reserve, disk_is_full
from results.retimed import timed_on
from search.disk import ArtifactKeeper, DiskLimits
from search.failures import MAX_IDENTICAL_FAILURES, FailureRun
from search.feedback import tell_of
from search.halving import Halving, HalvingSettings
from search.jobs import Answer, Job
from search.ledger import Rows, spent_by
from search.logs import keep_log
from search.monitor import Monitor
from search.planner import baseline_config, resolve_limits, trial_config
from search.policy import Action, decide, rebuild_error, smaller
from search.records import Begun, record_of
from search.sampler import Sampler
from search.warm_start import told_before
from spaces import Space

__all__ = ["Driver"]


class Driver:
    """Feeds a runner (`search.jobs.Supply`) until the study holds the trials asked for.

    Attributes:
        failure: the error that ended the search, or None.
        stopping: set to stop asking and wait for what runs.
    """

    def __init__(
        self,
        study: Study,
        space: Space,
        sampler: Sampler,
        *,
        trials: int,
        function: str,
        data_root: Path,
        monitor: Monitor,
        halving: HalvingSettings | None = None,
        max_identical_failures: int = MAX_IDENTICAL_FAILURES,
        still_ours: Callable[[], None] = lambda: None,
        gpus_per_trial: float | None = None,
        spent: Mapping[int, Rows] | None = None,
        disk: DiskLimits | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self.failure: Exception | None = None
        self.stopping = False
        self._study, self._space, self._sampler = study, space, sampler
        self._trials, self._function, self._data_root, self._monitor = trials, function, data_root, monitor
        self._still_ours, self._gpus, self._spent = still_ours, gpus_per_trial, spent or {}
        self._disk, self._reserve = disk or DiskLimits(), reserve
        self._artifacts = ArtifactKeeper(study, self._disk.artifact_bytes, still_ours)
        self._seed = int(study.definition["seed"])
        self._running: dict[tuple[int, int], Begun] = {}
        self._again: deque[Begun] = deque()
        self._halving = None if halving is None else Halving(halving, space.objectives)
        self._failures = FailureRun(max_identical_failures)
        self._limits: tuple[Limit, ...] = ()
        self._baseline = study.baseline
        self._load(study)
        if self._baseline is not None:
            self._settle_limits(self._baseline)

    @property
    def finished(self) -> bool:
        """Whether no further job will come: all is committed, or the search is stopping."""
        return self.stopping or self.failure is not None or self.complete

    @property
    def complete(self) -> bool:
        """Whether the study holds the trials asked for."""
        return self._baseline is not None and not (self._running or self._again or self._left)

    @property
    def abandoned(self) -> bool:
        """Whether an error ended the search; what runs is not waited for."""
        return self.failure is not None

    def take(self) -> Job | None:
        """The next job: the baseline first and alone, then interrupted trials, then new ones."""
        if self.finished:
            return None
        if self._baseline is None and not self._again:
            return None if self._running else self._begin_baseline()
        if self._again:
            return self._begin_again(self._again.popleft())
        if self._baseline is None or not self._left:
            return None
        return self._begin_new()

    def settle(self, job: Job, answer: Answer) -> None:
        """Judge an answer and commit it; one that is not waited for is dropped."""
        begun = self._running.pop((job.number, job.attempt), None)
        if begun is None:
            self._monitor.note(
                f"{self._why(job.number, f'attempt {job.attempt}')} answered after it was given up; dropped"
            )
        if begun is None or self.failure is not None:
            return
        try:
            self._settle(begun, answer)
        except Exception as error:
            self.fail(error)

    def keep_going(self, job: Job, epoch: int, figures: Mapping[str, float]) -> bool:
        """Whether a trial goes on after an epoch, by the rungs that others have reached."""
        return self._halving is None or self._halving.keep_going(epoch, figures)

    def fail(self, error: Exception) -> None:
        """End the search with this error."""
        self.failure = self.failure or error

    def heard(self, job: Job, said: str) -> None:
        """Show what a running job said last."""
        self._monitor.heard(job.number, said)

    def _load(self, study: Study) -> None:
        self._records = study.records()
        self._pending = deque(study.started())
        committed, begun = [trial.number for trial in self._records], [note.number for note in self._pending]
        self._next = max([*committed, *begun], default=-1) + 1
        # Interrupted trials beyond what is asked for stay as they are for a longer search.
        self._left = max(0, self._trials - len(self._records))

    def _settle_limits(self, baseline: Record) -> None:
        """Make the limits absolute; only then can the sampler be told anything."""
        self._baseline = baseline
        self._limits = resolve_limits(self._space.parsed_limits(), baseline.metrics)
        objectives = list(self._space.objectives)
        warm = told_before(self._study.definition.get("warm_start", ()), objectives, self._limits)
        told = [*warm, *(tell_of(record, objectives, self._limits) for record in self._records)]
        self._sampler.rebuild(told)
        if self._halving is not None:
            for record in self._records:
                self._halving.note(record)
        self._monitor.begin(baseline, self._records)
        while self._pending and self._left:
            note = self._pending.popleft()
            self._left -= 1
            self._sampler.adopt(note.number, note.params)
            config = trial_config(self._space, note.params, self._seed)
            spent = self._spent.get(note.number, ())
            self._again.append(self._begun(note.number, note.attempt, note.params, config, spent=spent))

    def _begin_baseline(self) -> Job:
        return self._start(self._begun(BASELINE_NUMBER, 1, {}, baseline_config(self._space, self._seed)))

    def _begin_new(self) -> Job:
        number, self._next, self._left = self._next, self._next + 1, self._left - 1
        params = self._sampler.ask(number)
        return self._start(self._begun(number, 1, params, trial_config(self._space, params, self._seed)))

    def _begin_again(self, before: Begun) -> Job:
        config = TrialConfig.from_dict(before.config)
        attempt, spent = before.job.attempt + 1, spent_by(before.job)
        begun = self._begun(before.job.number, attempt, before.params, config, before.retries, spent)
        return self._start(dataclasses.replace(begun, smaller=before.smaller))

    def _begun(
        self,
        number: int,
        attempt: int,
        params: dict[str, Any],
        config: TrialConfig,
        retries: int = 0,
        spent: Rows = (),
    ) -> Begun:
        baseline = self._baseline
        payload = {
            "study": str(self._study.path.resolve()),
            "data_root": str(self._data_root),
            "config": config.to_dict(),
            "code": self._study.definition.get("code", {}),
            "limits": [
                {"metric": limit.metric, "operator": limit.operator, "value": limit.value}
                for limit in self._limits
            ],
            "reference": str(artifact_folder(self._study.path.resolve(), BASELINE_NUMBER))
            if baseline
            else None,
            "kernel_host": timed_on(baseline) if baseline else None,
            "kernel_ms_at_start": baseline.checks.get("kernel_ms") if baseline else None,
            "early_stopping": self._halving is not None,
            "cache_limit_bytes": self._disk.cache_bytes,
            **({"spent_before": list(spent)} if spent else {}),
        }
        job = Job(
            number=number,
            attempt=attempt,
            function=self._function,
            work=work_folder(self._study.path.resolve(), number, attempt),
            payload=payload,
        )
        return Begun(
            job=job,
            params=params,
            config=config.to_dict(),
            started_at=utc_now(),
            retries=retries,
            gpus=self._gpus,
        )

    def _start(self, begun: Begun) -> Job:
        job = begun.job
        remove_tree(job.work)
        job.work.mkdir(parents=True)
        self._still_ours()
        if job.number != BASELINE_NUMBER:
            note_started(self._study, job.number, job.attempt, begun.params)
        self._running[job.number, job.attempt] = begun
        self._monitor.started(job.number, begun.params)
        return job

    def _settle(self, begun: Begun, answer: Answer) -> None:
        number = begun.job.number
        action: Action = "failed"
        log = keep_log(self._study.path, begun.job)
        if log is not None:
            answer = dataclasses.replace(answer, worker={**answer.worker, "log": log})
        if answer.error is not None:
            action = decide(answer.error["kind"], begun.retries)
            self._monitor.troubled(number, answer.error, action, log)
            if action == "leave":
                # Begun it stays, so that the next driver goes on with it.
                self._again.append(begun)
                return
            if action == "stop" or (number == BASELINE_NUMBER and action != "retry"):
                raise rebuild_error(answer.error["kind"], self._why(number, answer.error["message"]))
            if action == "retry":
                self._again.append(_once_more(begun, answer.error["kind"]))
                return
        record = self._commit(begun, answer, "infeasible" if action == "infeasible" else "failed")
        if number == BASELINE_NUMBER:
            self._settle_limits(record)
            return
        self._sampler.tell(tell_of(record, list(self._space.objectives), self._limits))
        self._monitor.committed(record)
        self._artifacts.committed(record)
        if (diagnosis := self._failures.add(record)) is not None:
            raise SearchPaused(diagnosis)

    def _commit(self, begun: Begun, answer: Answer, status: Literal["failed", "infeasible"]) -> Record:
        record = record_of(
            begun,
            answer,
            status=status,
            finished_at=utc_now(),
            objectives=list(self._space.objectives),
            limits=self._limits,
        )
        try:
            record = self._write(record, answer)
        except ResourceError as error:
            if self._reserve is None or not disk_is_full(error) or not self._reserve.give_up():
                raise
            record = self._write(record, answer)
            self.fail(error)
        remove_tree(begun.job.work)
        return record

    def _write(self, record: Record, answer: Answer) -> Record:
        self._still_ours()
        record = self._with_artifact(record, answer)
        if record.number == BASELINE_NUMBER and record.status != "complete":
            problem = record.error["message"] if record.error else f"breaks {', '.join(record.violations)}"
            raise ConfigError(self._why(BASELINE_NUMBER, problem))
        self._still_ours()
        commit(self._study, record)
        return record

    def _with_artifact(self, record: Record, answer: Answer) -> Record:
        folder = (answer.outcome or {}).get("artifact")
        if record.status == "failed" or folder is None:
            return record
        try:
            place = commit_artifact(self._study, record.number, Path(folder), linked=True)
        except (ConfigError, ArtifactError) as error:
            # The trial's own doing (no files, links): it failed, and the search goes on.
            problem = {"kind": type(error).__name__, "message": str(error)}
            return dataclasses.replace(record, status="failed", error=problem)
        return dataclasses.replace(record, artifact=place)

    @staticmethod
    def _why(number: int, message: str) -> str:
        trial = "the dense baseline" if number == BASELINE_NUMBER else f"trial {number}"
        return f"{trial}: {message}"


def _once_more(begun: Begun, kind: str) -> Begun:
    # A device that failed is no failure of the trial.
    again = dataclasses.replace(begun, retries=begun.retries + (kind != DeviceLost.__name__))
    # The trials compare with the baseline, whose batch is therefore not changed behind anybody's back.
    if kind != OutOfMemory.__name__ or begun.job.number == BASELINE_NUMBER:
        return again
    changes = smaller(TrialConfig.from_dict(begun.config))
    made = {name: (begun.config[name], value) for name, value in changes.items()}
    return dataclasses.replace(again, config={**begun.config, **changes}, smaller={**begun.smaller, **made})
