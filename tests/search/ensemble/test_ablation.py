"""What each choice changes, by stored scores: scikit-learn is the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.storage.paths import as_path
from foldtune.search.ensemble.ablation import Effect, effects
from foldtune.search.ensemble.fold_training import Terms, Training
from foldtune.search.ensemble.plan import Candidate, EnsembleOptions, plan_ensemble
from foldtune.search.ensemble.sources import Source
from foldtune.search.runs.run import new_store, start_run
from foldtune.search.runs.validation import check_file
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome

FOLDS = 3


class World:
    """A run of four choices whose fold models are made up: `strengths` are logits of the right class by trial."""

    def __init__(self, project: Any, strengths: Sequence[float]) -> None:
        changes = {"search.metric": "loss", "ensemble.folds": FOLDS, "space.pretrained": False}
        checked = check_file(project.folder / project.config(changes))
        with new_store(checked.config) as store:
            self.run, self.labelled = start_run(checked, store, 1, None)
        self.strengths, self.trained = strengths, list[tuple[str, int, int]]()
        for number in range(len(strengths)):
            params = {"lr": 0.001 * (number + 1)}
            store.trial(f"{number:04d}").write_config(number, params, self.run.space.build(params))
            store.trial(f"{number:04d}").finish("COMPLETE")
        self.chosen = [Candidate(each.trial_id, self.run, each) for each in store.trials()]

    def logits(self, member: str, seed: int) -> np.ndarray:
        rng = np.random.default_rng((int(member), seed))
        targets = self.labelled.table.targets
        return rng.normal(size=(len(targets), 3)) + self.strengths[int(member)] * np.eye(3)[targets]

    def train(self, works: Mapping[str, Any], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
        work = works[self.run.store.name][0]
        for job in jobs:
            seed, rows = job.seed, np.flatnonzero(self.labelled.folds == job.fold)
            if (job.member, job.fold, seed) not in self.trained:
                self.trained.append((job.member, job.fold, seed))
            assert not job.model
            assert work.test is None
            directory = EnsembleDir(as_path(work.home)).member(job.member, job.fold, seed)
            table = self.labelled.table
            directory.write_scores(table.ids[rows], self.logits(job.member, seed)[rows], table.targets[rows], 1)
            directory.finish({"value": 0.5, "reused": False})
            yield FoldOutcome(job.member, job.fold, 0.5, seed=seed)

    def effects(self, seeds: int, folds: int = FOLDS) -> list[Effect]:
        plan = plan_ensemble(self.run, EnsembleOptions(folds=folds, seeds=seeds))
        source = Source(self.run, self.labelled, None)
        return effects(Training([source], plan, self.train, Silent(), Terms()), self.chosen)

    def loss(self, member: str, seed: int, folds: int = FOLDS) -> float:
        rows = self.labelled.folds < folds
        logits = self.logits(member, seed)[rows]
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return float(log_loss(self.labelled.table.targets[rows], scores, labels=[0, 1, 2]))


class Silent:
    def on_outcome(self, outcome: FoldOutcome) -> None:
        pass

    def on_dropped(self, dropped: Sequence[Any]) -> None:
        pass


@pytest.mark.parametrize(("strength", "certain"), [pytest.param(1.1, False, marks=pytest.mark.slow), (3.0, True)])
def test_values_and_differences_are_means_over_seeds_on_the_same_rows(
    project: Any, strength: float, certain: bool
) -> None:
    world = World(project, [1.0, strength])
    found = world.effects(seeds=2)
    for effect, member in zip(found, ("0000", "0001"), strict=True):
        assert effect.value == pytest.approx(np.mean([world.loss(member, seed) for seed in range(2)]), abs=1e-6)
        assert (effect.folds, effect.seeds) == (FOLDS, 2)
    base, other = found
    assert base.difference is None
    assert other.difference is not None
    assert other.difference.value == pytest.approx(other.value - base.value)
    assert other.difference.low < other.difference.value < other.difference.high
    assert other.is_certain == certain == (other.difference.high < 0), "less loss"
    assert len(world.trained) == 2 * FOLDS * 2
    assert {seed for _, _, seed in world.trained} == {0, 1}


def test_the_clearly_weak_stop_after_two_folds_and_the_base_never_does(project: Any) -> None:
    world = World(project, [-4.0, 3.0, 3.1, -4.0, 3.2])
    base, *others = world.effects(seeds=1)
    assert [(each.folds, each.seeds) for each in (base, *others)] == [(3, 1), (3, 1), (3, 1), (2, 1), (3, 1)]
    weak = others[2]
    assert weak.value == pytest.approx(world.loss("0003", 0, folds=2), abs=1e-6)
    assert weak.difference is not None
    expected = world.loss("0003", 0, folds=2) - world.loss("0000", 0, folds=2)
    assert weak.difference.value == pytest.approx(expected, abs=1e-6), "on the rows of two folds"
    assert ("0003", 2, 0) not in world.trained


@pytest.mark.slow
def test_two_folds_are_no_race(project: Any) -> None:
    world = World(project, [3.0, 3.1, 3.0, -4.0])
    assert [(each.folds, each.seeds) for each in world.effects(seeds=1, folds=2)] == [(2, 1)] * 4
