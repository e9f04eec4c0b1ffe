"""One run of a search, from taking the study's lock to giving it back."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from reid.config import reject_unknown
from reid.errors import ConfigError, ReidParetoError, StudyInUse
from reid.files import remove_tree
from results import Study, hold_study, open_study, rebuild_table
from results.reserve import Reserve
from search.disk import DiskLimits
from search.driver import Driver
from search.failures import MAX_IDENTICAL_FAILURES
from search.halving import HalvingSettings, with_evaluations
from search.interrupt import interrupts
from search.jobs import Resources, Supply
from search.ledger import spent_before_resuming
from search.monitor import Monitor
from search.opening import Data, check_dataset, check_fits, open_or_create
from search.planner import baseline_config, check_space
from search.runner import run_jobs
from search.sampler import SAMPLERS, Sampler, make_sampler
from search.warm_start import observations
from spaces import Space

__all__ = ["TRIAL_FUNCTION", "check_request", "search"]

TRIAL_FUNCTION = "search.trial:run"
"""Dotted path of what runs one trial."""

_MOST_SEED = 2**32 - 1  # of NumPy's generator in Optuna's samplers


def search(
    path: Path | str,
    space: Space,
    data: Data,
    *,
    trials: int,
    seed: int | None = None,
    sampler: str | None = None,
    resources: Resources | None = None,
    warm_start: Sequence[Study] = (),
    halving: HalvingSettings | None = None,
    max_identical_failures: int = MAX_IDENTICAL_FAILURES,
    disk: DiskLimits | None = None,
    function: str = TRIAL_FUNCTION,
    console: Console | None = None,
    runner: Callable[[Supply, Resources], None] | None = None,
) -> Study:
    """Search until the study holds `trials` committed trials; resumes what is there.

    Args:
        path: folder of the study, or its URI in an object store; new or begun.
        space: what is searched.
        data: the dataset.
        trials: committed trials in the end, failed and infeasible ones counted, >= 1.
        seed: of the sampler and of the trials; None takes the study's own, or 0.
        sampler: name in `search.sampler.SAMPLERS`; None takes the study's own, or "tpe".
        resources: where trials run; None uses this machine, one core each.
        warm_start: finished studies that the sampler of a new study learns from.
        halving: how trials are stopped early; None lets all of them end.
        max_identical_failures: so many failures alike in a row, from different configurations, pause the search; 0
            never does.
        disk: how much the stage cache and the artifacts may take; None sets no limit.
        function: dotted path of what runs a trial.
        console: where progress goes; None is silent.
        runner: runs the driver's jobs; None takes Ray, the simulator is another.

    Returns:
        The study.

    Raises:
        ConfigError: the request is wrong or does not fit the study; nothing was run.
        StudyInUse: another driver has it.
        StudyDamaged: a record cannot be read.
        DataError: a trial found the dataset damaged.
        NoDevice: no trial fits the cluster.
        SearchPaused: trial after trial failed in the same way.
        KeyboardInterrupt: stopped by a signal before all trials were there.
    """
    check_request(space, data, trials=trials, seed=seed, sampler=sampler)
    if halving is not None:
        space = with_evaluations(space, halving)
    check_space(space)
    baseline_config(space)
    warm = observations(warm_start, space, data)
    check_request(space, data, trials=trials, seed=seed, sampler=sampler, warm=warm.taken)
    resources = resources or Resources()
    with hold_study(path) as held:
        study = held.bind(
            open_or_create(held.folder, space, data, seed=seed, sampler=sampler, warm_start=warm.taken)
        )
        definition = study.definition
        begun = [*(one.params for one in study.records()), *(one.params for one in study.started())]
        learnt = definition.get("warm_start", ())
        chosen = _sampler(sampler or definition["sampler"], space, definition["seed"], trials, learnt, begun)
        check_fits(space, study.records(), study.started())
        spent = spent_before_resuming(study)
        # Whatever an earlier driver's workers left there was never committed.
        remove_tree(study.path / "work")
        monitor = Monitor(console or Console(quiet=True), trials, space.objectives)
        if warm_start:
            monitor.note(f"learnt from {len(warm.taken)} trials of other studies; {warm.skipped} do not fit")
        with Reserve(study.path) as reserve:
            driver = Driver(
                study,
                space,
                chosen,
                trials=trials,
                function=function,
                data_root=data.root,
                monitor=monitor,
                halving=halving,
                max_identical_failures=max_identical_failures,
                still_ours=held.check,
                gpus_per_trial=resources.gpus_per_trial,
                spent=spent,
                disk=disk,
                reserve=reserve,
            )
            _run(driver, monitor, resources, runner or run_jobs)
            if isinstance(driver.failure, StudyInUse):
                raise driver.failure  # Nothing more is written, nothing removed: the study is another's.
        _end(driver, study)
    return open_study(path)


def _end(driver: Driver, study: Study) -> None:
    """Write the table, and raise what ended the search before all trials were there."""
    if driver.failure is None:
        rebuild_table(study)
    else:
        with suppress(ReidParetoError):  # what failed first is what is told
            rebuild_table(study)
        raise driver.failure
    if driver.stopping and not driver.complete:
        raise KeyboardInterrupt


def check_request(
    space: Space,
    data: Data,
    *,
    trials: int,
    seed: int | None,
    sampler: str | None,
    warm: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Refuse what no search of the space takes; nothing is written.

    Args:
        space: what is searched.
        data: the dataset.
        trials: committed trials in the end.
        seed: None takes the study's own.
        sampler: None takes the study's own.
        warm: observations of other studies, which are points that need not be tried again.

    Raises:
        ConfigError: names the option.
    """
    check_dataset(space, data)
    if trials < 1:
        raise ConfigError(f"--trials must be at least 1, got {trials}")
    if seed is not None and not 0 <= seed <= _MOST_SEED:
        raise ConfigError(f"--seed must be 0 to {_MOST_SEED}, got {seed}")
    if sampler is not None:
        reject_unknown([sampler], SAMPLERS, "sampler")
        _sampler(sampler, space, seed or 0, trials, warm)


def _sampler(
    name: str,
    space: Space,
    seed: int,
    trials: int,
    warm: Sequence[Mapping[str, Any]],
    begun: Sequence[Mapping[str, Any]] = (),
) -> Sampler:
    """The sampler by name.

    Args:
        name: of it.
        space: what is searched.
        seed: of the study.
        trials: committed trials in the end.
        warm: observations of other studies.
        begun: parameters of the study's trials, committed or not.

    Raises:
        ConfigError: it has not as many points as trials are asked for.
    """
    sampler = make_sampler(name, space, seed)
    left = sampler.leave_out([*(one["params"] for one in warm), *begun])
    if left is not None and trials > (most := len(begun) + left):
        tried = " that were not tried" if warm or begun else ""
        raise ConfigError(f"the grid of this space has {left} points{tried}; lower --trials to {most}")
    return sampler


def _run(
    driver: Driver, monitor: Monitor, resources: Resources, runner: Callable[[Supply, Resources], None]
) -> None:
    with monitor, interrupts(driver):
        if not driver.finished:
            runner(driver, resources)
    monitor.summary()
