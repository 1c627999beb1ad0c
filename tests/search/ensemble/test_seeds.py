"""Fold models of several seeds, and one model a configuration on all rows, trained in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from scipy.special import softmax

from foldtune.cluster.resources import TrialResources
from foldtune.results.runs.ensemble_dir import ALL_ROWS, predicting_models, stored_models
from foldtune.search.ensemble.build import build_ensemble
from foldtune.search.ensemble.fold_tasks import Missing, ensure_all_trained
from foldtune.search.ensemble.fold_training import Terms
from foldtune.search.ensemble.plan import EnsembleOptions, choose_finalists, plan_ensemble
from foldtune.search.ensemble.sources import open_source
from foldtune.search.predict.stored_ensemble import PredictOptions, StoredEnsemble, find_images
from foldtune.search.runs.run import Run
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome, FoldWork
from tests.search.ensemble.test_ensemble_runs import (
    FOLDS,
    LABELS,
    Watch,
    by_hand,
    ensemble,
    home,
    searched,
    stored,
    train_here,
)

__all__ = ["home"]


@pytest.fixture(scope="module")
def run(home: Path) -> Run:
    return searched(home, "seeds", 1, ensemble={"top": 1, "folds": FOLDS})


def test_scores_are_means_over_seeds_and_the_model_of_all_rows_predicts(home: Path, run: Run) -> None:
    plain = ensemble([run])
    alone = plain.description["estimate"]["accuracy"], stored(run, "oof.npz")["scores"]
    watch = Watch()
    built = ensemble([run], watch, seeds=2, refit="all")
    assert [(each.fold, each.seed, each.value is None) for each in watch.outcomes] == [
        *((fold, 0, False) for fold in range(FOLDS)),
        *((fold, 1, False) for fold in range(FOLDS)),
        (ALL_ROWS, 0, True),
    ]
    described = built.description
    assert (described["seeds"], described["refit"]) == (2, "all")
    assert described["seed_values"][0] == alone[0], "the first seed alone is the ensemble of one"
    assert len(described["seed_values"]) == 2

    oof, root = stored(run, "oof.npz"), run.store.ensemble.root
    np.testing.assert_array_equal(stored(run, "oof.npz")["folds"], oof["folds"])
    place = {name: row for row, name in enumerate(oof["ids"].tolist())}
    second = np.zeros_like(alone[1])
    for fold in range(FOLDS):
        scores = run.store.ensemble.member("0000", fold, seed=1).read_scores()
        assert scores is not None
        second[[place[name] for name in scores.ids.tolist()]] = softmax(scores.logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(oof["scores"], (alone[1] + second) / 2, atol=1e-7)
    assert not np.allclose(alone[1], second)

    test = stored(run, "test.npz")
    expected = by_hand(home, root / "weights/0000/fold_all.safetensors", test["ids"].tolist(), 32)
    np.testing.assert_allclose(test["scores"], expected, atol=1e-5)
    opened = StoredEnsemble.open(root)
    opened.members.check_weights()
    frame = opened.predict(
        find_images(home / "test.csv", home / "images", "image"),
        PredictOptions(batch_size=4, device="cpu", decoders=1),
        progress=lambda done, total: None,
    )
    np.testing.assert_allclose(frame[[f"score_{name}" for name in LABELS]], expected, atol=1e-5)
    marker = json.loads((root / "members/0000/fold_all/done.json").read_text())
    assert (marker["value"], marker["epochs"]) == (None, 1)
    assert not (root / "members/0000/fold_all/scores.npz").exists()


def test_fewer_seeds_later_take_over_what_is_trained(home: Path, run: Run) -> None:
    options = EnsembleOptions(seeds=2)
    ensemble([run], seeds=2)
    two = stored(run, "test.npz")["scores"]

    def connect(missing: Missing) -> None:
        raise AssertionError(f"nothing is to be trained: {missing}")

    def train(works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
        return ensure_all_trained(works, jobs, connect)

    plan = plan_ensemble(run, options)
    built = build_ensemble([open_source(run, 1, None)], plan, choose_finalists([run], plan), train, Watch())
    assert "refit" not in built.description
    np.testing.assert_array_equal(stored(run, "test.npz")["scores"], two)
    files = [run.store.ensemble.weights_path("0000", fold, seed) for fold in range(FOLDS) for seed in range(2)]
    by_model = [by_hand(home, path, stored(run, "test.npz")["ids"].tolist(), 32) for path in map(Path, files)]
    np.testing.assert_allclose(two, np.mean(by_model, axis=0), atol=1e-5)
    assert {path.name for path in map(Path, files)} <= {p.name for p in (Path(files[0]).parent).iterdir()}
    assert load_file(files[0]).keys() == load_file(files[1]).keys()


def test_seeds_and_models_that_are_not_ready_in_time_are_left_out(run: Run) -> None:
    def first_seed(
        works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]
    ) -> Iterator[FoldOutcome]:
        return train_here(works, [job for job in jobs if job.seed < 2 and job.fold != ALL_ROWS])

    plan = plan_ensemble(run, EnsembleOptions(seeds=3, refit="all"))
    source = open_source(run, 1, None)
    built = build_ensemble([source], plan, choose_finalists([run], plan), first_seed, Watch(), Terms(partial=True))
    assert built.description["seeds"] == 2
    assert "refit" not in built.description
    assert built.description["cuts"] == ["2 seeds in time, of 3", "no model of all rows: not all were ready in time"]


def test_the_models_of_an_ensemble_are_those_of_its_seeds_and_of_all_rows() -> None:
    before = {"folds": 2}
    assert stored_models(before) == predicting_models(before) == [(0, 0), (1, 0)]
    both = {"folds": 2, "seeds": 2, "refit": "all"}
    assert stored_models(both) == [(0, 0), (1, 0), (0, 1), (1, 1), (ALL_ROWS, 0)]
    assert predicting_models(both) == [(ALL_ROWS, 0)]
