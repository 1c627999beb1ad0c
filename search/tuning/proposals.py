"""What is tried next: trials to resume, configurations that are known beforehand, then what the sampler draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from foldtune.results.records.proposals_file import KnownTrial, Proposals
from foldtune.results.records.trials import TrialRecord
from foldtune.search.config.schema import SearchConfig
from foldtune.search.tuning.recorder import Recorder
from foldtune.search.tuning.sampler import make_sampler
from foldtune.spaces import Space


class Planned:
    """Configurations that come before the sampler draws, each once: none that the run has.

    Args:
        source: flat parameters of the configurations, in order.
        stored: those of the run's trials.
    """

    def __init__(self, source: Iterable[Mapping[str, Any]] = (), stored: Iterable[Mapping[str, Any]] = ()) -> None:
        self._seen = set(map(_key, stored))
        self._new = (params for params in source if _key(params) not in self._seen)

    def enqueue(self, study: optuna.Study) -> None:
        """Make the next configuration the study's next proposal, unless another one waits there."""
        if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            params = next(self._new, None)
            if params is not None:
                study.enqueue_trial(dict(params))

    def note(self, params: Mapping[str, Any]) -> None:
        """Take a configuration that was proposed."""
        self._seen.add(_key(params))


def _key(params: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(params.items())


class Proposer:
    """Proposes one trial after another.

    Args:
        sampler: function from a trial's index, counted in stored trials, to its sampler.
        stored: number of trials in the run's store, unfinished ones among them.
        unfinished: ids of trials to resume, proposed first, as they were.
        planned: configurations that come next, before the sampler draws.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        recorder: Recorder,
        sampler: Callable[[int], BaseSampler],
        *,
        stored: int,
        unfinished: Sequence[str] = (),
        planned: Planned | None = None,
    ) -> None:
        self._study = study
        self._space = space
        self._recorder = recorder
        self._sampler = sampler
        self._stored = stored
        self._waiting = list(unfinished)
        self._planned = planned or Planned()

    def next(self) -> str:
        """Return the id of the next trial; a new one is in the study and in the store."""
        return self._waiting.pop(0) if self._waiting else self._draw()

    def repeat(self, key: str) -> None:
        """Propose a trial again, before all others."""
        self._waiting.insert(0, key)

    def _draw(self) -> str:
        self._study.sampler = self._sampler(self._stored)
        self._planned.enqueue(self._study)
        trial = self._study.ask()
        params = self._space.suggest(trial)
        self._planned.note(params)
        key = self._recorder.start(trial.number, params, self._space.build(params))
        self._stored += 1
        return key


@dataclass(frozen=True)
class SearchStart:
    """What a search has beforehand.

    Attributes:
        stored: what its run stored at its start.
    """

    search: SearchConfig
    space: Space
    stored: Proposals

    @property
    def first(self) -> Mapping[str, Any]:
        """Flat parameters of the first configuration: the default, unless the run has another one."""
        return next(iter(self.stored.first), self.space.default())

    def proposer(
        self, study: optuna.Study, recorder: Recorder, trials: Sequence[TrialRecord], unfinished: Sequence[str]
    ) -> Proposer:
        """Return what proposes the trials after those that the run has; `unfinished`: ids of those to resume."""
        grid = self.space.grid() if self.search.algorithm == "grid" else ()
        planned = Planned(chain(self.stored.first, grid), [record.params for record in trials])
        distributions, known = self.space.distributions(), self.stored.known
        sampler = partial(
            make_sampler,
            self.search.seed,
            startup_trials=self.search.startup_trials,
            is_random=self.search.algorithm == "random",
            known=[_frozen(trial, distributions, n) for n, trial in enumerate(known, -len(known))],
        )
        return Proposer(
            study, self.space, recorder, sampler, stored=len(trials), unfinished=unfinished, planned=planned
        )


def _frozen(trial: KnownTrial, distributions: Mapping[str, BaseDistribution], number: int) -> FrozenTrial:
    """Return a trial as Optuna has it; a number below 0, since the study has the others, makes it older than those."""
    complete = trial.status == "COMPLETE"
    found = create_trial(
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        value=trial.value if complete else None,
        intermediate_values={trial.epochs: trial.value},
        params=trial.params,
        distributions={name: distributions[name] for name in trial.params},
    )
    found.number = number
    return found
