"""Thresholds fitted to single models' scores, moved for means of models."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit, logit

from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.crossfit import MIN_ROWS, transfer_thresholds
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel

Array = npt.NDArray[np.float64]
TASK = Binary("label", ("no", "yes"))


def draw(seed: int, noise: float, share: float) -> tuple[Array, npt.NDArray[np.int64], Array, npt.NDArray[np.int64]]:
    """Out-of-fold scores and targets, and the means of five models on new rows with theirs."""
    rng = np.random.default_rng(seed)
    targets = (rng.random(2500) < share).astype(np.int64)
    easy = 2.0 * targets - 1.0 + rng.normal(size=2500)
    scores = expit(easy + noise * rng.normal(size=(5, 2500)) + np.log(share / (1 - share)))
    return scores[0, :1000], targets[:1000], scores[:, 1000:].mean(axis=0), targets[1000:]


@pytest.mark.parametrize(("noise", "share", "least"), [(1.5, 0.05, 0.005), (1.0, 0.2, 0.0), (0.3, 0.2, -0.005)])
def test_it_helps_noisy_models_and_hardly_harms_steady_ones(noise: float, share: float, least: float) -> None:
    gains = []
    for seed in range(60):
        single, known, averaged, hidden = draw(seed, noise, share)
        fitted = TASK.fit_postprocess(single, known, "f1")
        adapted = transfer_thresholds(TASK, fitted, single, averaged)
        before, after = (
            TASK.evaluate(averaged, TASK.predict(averaged, each), hidden)["f1"] for each in (fitted, adapted)
        )
        gains.append(after - before)
    assert np.mean(gains) > least


def test_the_threshold_lies_half_way_to_the_one_that_keeps_the_share() -> None:
    single, _, averaged, _ = draw(0, 1.5, 0.2)
    adapted = transfer_thresholds(TASK, {"threshold": 0.8}, single, averaged)["threshold"]
    kept = np.quantile(averaged, 1 - (single >= 0.8).mean())
    assert kept < adapted < 0.8, "the mean is less extreme: fewer rows would reach .8"
    assert logit(adapted) == pytest.approx((logit(0.8) + logit(kept)) / 2)


def test_every_label_has_its_own() -> None:
    task = Multilabel("labels", ("a", "b", "c"))
    columns = [draw(seed, 1.5, 0.2) for seed in range(2)]
    single = np.stack([*(column[0] for column in columns), np.full(1000, 0.1)], axis=1)
    averaged = np.stack([*(column[2] for column in columns), np.full(1500, 0.2)], axis=1)
    adapted = transfer_thresholds(task, {"threshold": 0.6, "thresholds": {"a": 0.8}}, single, averaged)
    assert task.check_postprocess(adapted) == []
    for place, (label, threshold) in enumerate([("a", 0.8), ("b", 0.6)]):
        alone = transfer_thresholds(TASK, {"threshold": threshold}, single[:, place], averaged[:, place])
        assert adapted["thresholds"][label] == alone["threshold"]
    assert adapted["thresholds"]["c"] == 0.6, "nothing reaches it on either side"


def test_scores_of_one_distribution_change_nothing_to_speak_of() -> None:
    single, _, _, _ = draw(0, 1.0, 0.3)
    adapted = transfer_thresholds(TASK, {"threshold": 0.4}, single, single[::-1])
    assert adapted["threshold"] == pytest.approx(0.4, abs=0.002)


def test_few_rows_and_other_tasks_are_left_alone() -> None:
    single, _, averaged, _ = draw(0, 1.5, 0.2)
    fitted = {"threshold": 0.8}
    assert transfer_thresholds(TASK, fitted, single, averaged[: MIN_ROWS - 1]) == fitted
    classes = Multiclass("label", ("a", "b"), (1, 1))
    offsets = {"prior_power": 0.0, "offsets": {"a": 0.5, "b": -0.5}}
    assert transfer_thresholds(classes, offsets, np.eye(2), np.tile(np.eye(2), (100, 1))) == offsets
