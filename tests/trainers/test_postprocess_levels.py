"""Fold models of ordinal labels brought to one level, without a look at a label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import cohen_kappa_score

from trainers.postprocess.cuts import apply_cuts, expected_levels, fit_cuts
from trainers.postprocess.levels import common_level
from trainers.tasks.multiclass import Multiclass
from trainers.tasks.ordinal import Ordinal


def folds_of(rng: np.random.Generator, biases: list[float], rows: int = 400) -> tuple[list[np.ndarray], np.ndarray]:
    """Logits of models that see the same signal, each with a bias along the levels; and the levels."""
    levels = rng.integers(0, 4, size=len(biases) * rows)
    signal = -((np.arange(4) - (levels + rng.normal(0, 0.8, len(levels)))[:, None]) ** 2)
    parts = np.split(signal, len(biases))
    return [part + bias * np.arange(4) for part, bias in zip(parts, biases, strict=True)], levels


def kappa(logits: np.ndarray, levels: np.ndarray) -> float:
    """QWK of the second half of the folds by cuts fitted to the first."""
    expected = expected_levels(softmax(logits, axis=1))
    half = len(levels) // 2
    cuts = fit_cuts(expected[:half], levels[:half], "qwk", 4)
    return float(cohen_kappa_score(levels[half:], apply_cuts(expected[half:], cuts), weights="quadratic"))


def test_all_models_have_one_mean_level() -> None:
    logits, _ = folds_of(np.random.default_rng(0), [0.0, 1.5, -2.0])
    shifted = [each + offset for each, offset in zip(logits, common_level(logits), strict=True)]
    means = [expected_levels(softmax(each, axis=1)).mean() for each in shifted]
    assert means == pytest.approx([np.mean([expected_levels(softmax(each, axis=1)).mean() for each in logits])] * 3)


def test_biased_models_are_cut_as_well_as_unbiased_ones() -> None:
    biased, levels = folds_of(np.random.default_rng(1), [1.2, 1.2, -1.2, -1.2])
    plain, _ = folds_of(np.random.default_rng(1), [0.0] * 4)
    aligned = np.concatenate([each + offset for each, offset in zip(biased, common_level(biased), strict=True)])
    assert kappa(np.concatenate(biased), levels) < 0.8 * kappa(np.concatenate(plain), levels)
    assert kappa(aligned, levels) > 0.97 * kappa(np.concatenate(plain), levels)


def test_equal_models_stay_as_they_are() -> None:
    logits = folds_of(np.random.default_rng(2), [0.7])[0] * 2
    np.testing.assert_allclose(common_level(logits), 0.0, atol=1e-9)


def test_tasks_say_whether_their_models_need_it() -> None:
    frame = pd.DataFrame({"label": ["0", "1", "2", "3"] * 3})
    logits = folds_of(np.random.default_rng(3), [0.0, 1.0])[0]
    assert Multiclass.from_frame(frame, "label").fold_offsets(logits) is None
    offsets = Ordinal.from_frame(frame, "label").fold_offsets(logits)
    np.testing.assert_allclose(offsets, common_level(logits))
