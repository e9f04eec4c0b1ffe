"""Asks Optuna for parameters and tells it what came of them; the committed records stay the only truth.

Ray's own adapter stores trials that fail after a report as complete and leaves others running for ever
(docs/decisions/0003-ray.md), hence this one. Its state is a function of (space, sampler, seed, told trials): the
sampler is made anew for every question with a seed of its own, so that a resumed study goes on as if never interrupted.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from reid.config import reject_unknown
from search.feedback import Told
from search.grid import Grid
from spaces import Space
from spaces.distributions import decode, distribution, encode

__all__ = ["SAMPLERS", "OptunaSampler", "Sampler", "make_sampler"]

# Optuna's default of 50 would leave a study of a few dozen trials wholly random.
_POPULATION = 16


class Sampler(Protocol):
    """Chooses the parameters of the next trial from those before."""

    def leave_out(self, tried: Iterable[Mapping[str, Any]]) -> int | None:
        """Told before anything is asked what was tried; how many points are left, None where that has no end."""
        ...

    def ask(self, number: int) -> dict[str, Any]:
        """Parameters of new trial `number`."""
        ...

    def adopt(self, number: int, params: Mapping[str, Any]) -> None:
        """Take over a trial that was begun but not committed; it is told later."""
        ...

    def tell(self, told: Told) -> None:
        """Report a trial that was asked or adopted."""
        ...

    def rebuild(self, trials: Iterable[Told]) -> None:
        """Take over committed trials."""
        ...


class OptunaSampler:
    """An in-memory, multi-objective, constrained Optuna study behind ask and tell."""

    def __init__(self, space: Space, name: str, seed: int) -> None:
        self._space = space
        self._make = _MAKERS[name]
        self._seed = seed
        self._distributions = {key: distribution(p) for key, p in space.parameters.items()}
        self._conditional = any(set(p.when) & set(space.parameters) for p in space.parameters.values())
        self._asked: dict[int, Trial] = {}
        self._sums = dict.fromkeys(space.objectives, 0.0)
        self._counts = dict.fromkeys(space.objectives, 0)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            directions=list(space.objectives.values()), sampler=RandomSampler(seed=seed)
        )

    def leave_out(self, tried: Iterable[Mapping[str, Any]]) -> None:
        """No limit: there is always another point."""

    def ask(self, number: int) -> dict[str, Any]:
        """Parameters of new trial `number`; those whose `when` does not hold are left out."""
        self._study.sampler = self._make(_seed_of(self._seed, number), self._conditional)
        self._asked[number] = self._study.ask()
        return self._suggest(self._asked[number])

    def adopt(self, number: int, params: Mapping[str, Any]) -> None:
        """Take over a trial that was begun but not committed, so that nothing is asked beside it twice."""
        self._study.enqueue_trial(self._encoded(params))
        self.ask(number)
        if isinstance(self._study.sampler, _Generations):
            # Optuna gives an enqueued trial no generation, and would begin the next one too late.
            frozen = next(
                t for t in self._study.get_trials(deepcopy=False) if t.number == self._asked[number].number
            )
            self._study.sampler.get_trial_generation(self._study, frozen)

    def tell(self, told: Told) -> None:
        """Report a trial that was asked or adopted.

        A failed trial is told as FAIL and never seen again; an infeasible one is told with its constraint
        values, and an objective that it does not have with the mean of those known, which says nothing.
        """
        trial = self._asked.pop(told.number)
        if told.failed:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for name, value in told.constraints.items():
            trial.set_constraint(name, value)
        self._note(told)
        self._study.tell(trial, self._values(told))

    def rebuild(self, trials: Iterable[Told]) -> None:
        """Take over committed trials; failed ones teach nothing and are left out."""
        learnt = [told for told in trials if not told.failed]
        frozen = [self._frozen(told, place // _POPULATION) for place, told in enumerate(learnt)]
        self._study.add_trials(frozen)
        sampler = self._make(self._seed, self._conditional)
        if isinstance(sampler, _Generations):
            sampler.know(self._study.get_trials(deepcopy=False))
            # Parents are chosen when a generation begins, from those of the generation before.
            for generation in range(1, (len(learnt) - 1) // _POPULATION + 1):
                sampler.get_parent_population(self._study, generation)

    def _suggest(self, trial: Trial) -> dict[str, Any]:
        return self._space.point(
            lambda name: decode(self._space.parameters[name], _draw(trial, name, self._distributions[name]))
        )

    def _frozen(self, told: Told, generation: int) -> FrozenTrial:
        self._note(told)
        return create_trial(
            state=TrialState.COMPLETE,
            values=self._values(told),
            params=self._encoded(told.params),
            distributions={name: self._distributions[name] for name in told.params},
            constraints=told.constraints,
            # Without its generation NSGA-II would take every trial for none of its own and start afresh.
            system_attrs={_Generations._get_generation_key(): generation},
        )

    def _encoded(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: encode(self._space.parameters[name], value) for name, value in params.items()}

    def _note(self, told: Told) -> None:
        for name, value in told.values.items():
            self._sums[name] += value
            self._counts[name] += 1

    def _values(self, told: Told) -> list[float]:
        means = {name: self._sums[name] / max(1, self._counts[name]) for name in self._sums}
        return [told.values.get(name, means[name]) for name in self._space.objectives]


class _Generations(NSGAIISampler):
    """NSGA-II that is told once which trials make up each generation.

    Optuna's looks through all trials for every generation, which takes a long study seconds to begin again.
    """

    _known: Mapping[int, list[FrozenTrial]] = {}

    def know(self, trials: Sequence[FrozenTrial]) -> None:
        """Take over complete trials, each with its generation."""
        known: dict[int, list[FrozenTrial]] = {}
        for trial in trials:
            known.setdefault(trial.system_attrs[self._get_generation_key()], []).append(trial)
        self._known = known

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The trials of a generation."""
        return self._known.get(generation) or super().get_population(study, generation)


def make_sampler(name: str, space: Space, seed: int) -> Sampler:
    """Build a sampler by name.

    Raises:
        ConfigError: unknown name; lists the known ones.
    """
    reject_unknown([name], list(SAMPLERS), "sampler")
    return SAMPLERS[name](space, seed)


def _tpe(seed: int, conditional: bool) -> BaseSampler:
    with warnings.catch_warnings():
        # Optuna calls `group` experimental; without it, parameters with a condition are drawn one by one.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=conditional)


def _gp(seed: int, conditional: bool) -> BaseSampler:
    return GPSampler(seed=seed, warn_independent_sampling=not conditional)


_MAKERS: dict[str, Callable[[int, bool], BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": lambda seed, _: _Generations(seed=seed, population_size=_POPULATION),
    "gp": _gp,
    "random": lambda seed, _: RandomSampler(seed=seed),
}

SAMPLERS: dict[str, Callable[[Space, int], Sampler]] = {
    **{name: lambda space, seed, name=name: OptunaSampler(space, name, seed) for name in _MAKERS},  # type: ignore[misc]
    "grid": Grid,
}
"""Every sampler by name."""


def _seed_of(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _draw(trial: Trial, name: str, wanted: BaseDistribution) -> Any:
    if isinstance(wanted, FloatDistribution):
        return trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)
    if isinstance(wanted, IntDistribution):
        return trial.suggest_int(name, wanted.low, wanted.high, log=wanted.log)
    assert isinstance(wanted, optuna.distributions.CategoricalDistribution)
    return trial.suggest_categorical(name, wanted.choices)
