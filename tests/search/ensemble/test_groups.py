"""Rows of a group in an ensemble: together in its race, in the splits of its vote and in its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldtune.results.storage.files import save_file
from foldtune.search.ensemble.build import build_ensemble
from foldtune.search.ensemble.plan import EnsembleOptions, choose_finalists, plan_ensemble
from foldtune.search.ensemble.racing import Dropped, drop_weak
from foldtune.search.ensemble.sources import open_source
from foldtune.search.runs.run import Run, open_run
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.estimate import Estimate, Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome
from foldtune.search.workers.fold_model import ensure_trained
from foldtune.trainers.networks.weights import save_weights

SKILLS = {"0000": 2.5, "0001": 0.5, "0003": -1.0}
ROWS, SIZE = 24, 2  # of a group, which follow each other
GROUPS = np.array([f"g{row // SIZE}" for row in range(ROWS)])
FOLDS = np.arange(ROWS) // SIZE % 3


class Watch:
    """Keeps who dropped out."""

    def __init__(self) -> None:
        self.dropped: list[Dropped] = []

    def on_outcome(self, outcome: FoldOutcome) -> None:
        pass

    def on_dropped(self, dropped: Sequence[Dropped]) -> None:
        self.dropped += dropped


def stored_models(works: Mapping[str, Any], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
    """Nothing is trained: all fold models are stored."""
    return (ensure_trained(works[job.run][0], job) for job in jobs)


@pytest.fixture
def run(project: Any) -> Run:
    """A grouped run of three folds, and three trials whose fold models are stored."""
    store = project.stored_run()
    lines = [f"{name},{label},{group}" for (name, label), group in zip(project.rows, GROUPS, strict=True)]
    Path("train.csv").write_text("image,label,patient\n" + "\n".join(lines) + "\n")
    config = store.read_config()
    data, ensemble = {**config["data"], "group": "patient"}, {**config["ensemble"], "folds": 3}
    store.write_config({**config, "data": data, "ensemble": ensemble})
    ids = np.array([name for name, _ in project.rows])
    store.write_folds(ids, FOLDS)
    project.stored_trial(store, 3, 0.1)
    for trial_id in SKILLS:
        for fold in range(3):
            rows, directory = fold == FOLDS, store.ensemble.member(trial_id, fold)
            directory.write_scores(ids[rows], logits(project, trial_id)[rows], targets(project)[rows], 1)
            save_file(store.ensemble.weights_path(trial_id, fold), partial(save_weights, {"bias": torch.zeros(1)}))
            directory.finish({"value": 0.5, "reused": False})
    return open_run("tiny", "runs")


def targets(project: Any) -> np.ndarray:
    return np.array([int(label[1]) for _, label in project.rows])


def logits(project: Any, trial_id: str) -> np.ndarray:
    """Rows of a group have the same noise."""
    noise = np.random.default_rng(int(trial_id)).normal(size=(ROWS // SIZE, 3)).repeat(SIZE, axis=0)
    return (noise + SKILLS[trial_id] * np.eye(3)[targets(project)]).astype(np.float32)


def build(run: Run, *, top: int, race: bool) -> tuple[dict[str, Any], list[Dropped]]:
    plan, watch = plan_ensemble(run, EnsembleOptions(top=top, folds=3, voting="soft", race=race)), Watch()
    built = build_ensemble([open_source(run, 1, None)], plan, choose_finalists([run], plan), stored_models, watch)
    return dict(built.description), watch.dropped


def test_the_vote_and_its_interval_keep_groups_together(project: Any, run: Run) -> None:
    description, _ = build(run, top=1, race=False)

    def judged(groups: np.ndarray | None) -> Estimate:
        names = [each["id"] for each in description["members"]]
        members = [Member(name, run.task.scores(logits(project, name)), ()) for name in names]
        objective = Objective(run.task, "macro_f1", targets(project))
        return estimate(objective, members, FOLDS, voting="soft", bootstrap=Bootstrap(groups))

    together, apart = judged(GROUPS).interval, judged(None).interval
    assert description["interval"] == [together.low, together.high] != [apart.low, apart.high]
    assert run.store.ensemble.read_oof()["groups"].tolist() == GROUPS.tolist()  # type: ignore[index]


def test_a_race_draws_groups(project: Any, run: Run) -> None:
    _, dropped = build(run, top=3, race=True)
    rows = FOLDS < 2
    scores = {name: run.task.scores(logits(project, name))[rows] for name in SKILLS}
    together, apart = (
        drop_weak(run.task, run.goal, scores, targets(project)[rows], FOLDS[rows], each[rows])
        for each in (GROUPS, np.arange(ROWS))
    )
    assert [each.member for each in dropped] == ["0003"]
    assert dropped == together != apart
