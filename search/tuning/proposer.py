"""The order of trials: those that an earlier session left unfinished, then configurations that the sampler draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna

from foldtune.search.tuning.recorder import Recorder
from foldtune.spaces import Space


class Proposer:
    """Proposes one trial after another.

    Args:
        study: study opened by `search.tuning.study.open_study`.
        space: search space of a trial.
        recorder: writes a new trial's configuration into the run's store.
        sampler: function from a trial's index, counted in stored trials, to its sampler.
        stored: number of trials in the run's store, unfinished ones among them.
        unfinished: ids of trials to resume, proposed first, as they were.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        recorder: Recorder,
        sampler: Callable[[int], optuna.samplers.BaseSampler],
        *,
        stored: int,
        unfinished: Sequence[str] = (),
    ) -> None:
        self._study = study
        self._space = space
        self._recorder = recorder
        self._sampler = sampler
        self._stored = stored
        self._waiting = list(unfinished)

    def next(self) -> str:
        """Return the id of the next trial; a new one is in the study and in the store."""
        return self._waiting.pop(0) if self._waiting else self._draw()

    def repeat(self, key: str) -> None:
        """Propose a trial again, before all others."""
        self._waiting.insert(0, key)

    def _draw(self) -> str:
        self._study.sampler = self._sampler(self._stored)
        trial = self._study.ask()
        params = self._space.suggest(trial)
        key = self._recorder.start(trial.number, params, self._space.build(params))
        self._stored += 1
        return key
