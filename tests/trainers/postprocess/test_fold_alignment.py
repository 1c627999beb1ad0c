"""Fold-wise bias calibration, without labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from foldtune.trainers.postprocess.cuts import apply_cuts, expected_levels, fit_cuts
from foldtune.trainers.postprocess.fold_alignment import MAX_OFFSET, align_fold_biases, align_positive_rates
from foldtune.trainers.postprocess.thresholds import BINARY_TERMS, best_threshold
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal


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


def test_aligned_models_have_one_mean_level() -> None:
    logits, _ = folds_of(np.random.default_rng(0), [0.0, 1.5, -2.0])
    shifted = [each + offset for each, offset in zip(logits, align_fold_biases(logits), strict=True)]
    means = [expected_levels(softmax(each, axis=1)).mean() for each in shifted]
    assert means == pytest.approx([np.mean([expected_levels(softmax(each, axis=1)).mean() for each in logits])] * 3)


def test_biased_models_are_cut_as_well_as_unbiased_ones() -> None:
    biased, levels = folds_of(np.random.default_rng(1), [1.2, 1.2, -1.2, -1.2])
    plain, _ = folds_of(np.random.default_rng(1), [0.0] * 4)
    aligned = np.concatenate([each + offset for each, offset in zip(biased, align_fold_biases(biased), strict=True)])
    assert kappa(np.concatenate(biased), levels) < 0.8 * kappa(np.concatenate(plain), levels)
    assert kappa(aligned, levels) > 0.97 * kappa(np.concatenate(plain), levels)


def test_equal_models_are_unchanged() -> None:
    logits = folds_of(np.random.default_rng(2), [0.7])[0] * 2
    np.testing.assert_allclose(align_fold_biases(logits), 0.0, atol=1e-9)


def test_aligned_models_have_one_positive_rate_of_each_label() -> None:
    rng = np.random.default_rng(4)
    logits = [rng.normal([bias, -bias], 1.0, size=(rows, 2)) for bias, rows in ((0.0, 50), (2.0, 60), (-3.0, 70))]
    shifted = [each + offset for each, offset in zip(logits, align_positive_rates(logits), strict=True)]
    wanted = np.mean([expit(each).mean(axis=0) for each in logits], axis=0)
    np.testing.assert_allclose([expit(each).mean(axis=0) for each in shifted], [wanted] * 3)


def test_two_levels_and_one_label_are_the_same() -> None:
    rng = np.random.default_rng(5)
    logits = [rng.normal(bias, 1.0, size=(40, 1)) for bias in (1.0, -0.5)]
    levels = align_fold_biases([np.hstack([np.zeros_like(each), each]) for each in logits])
    np.testing.assert_allclose([each[1:] for each in levels], align_positive_rates(logits))


def test_a_threshold_of_all_folds_fits_biased_models_as_well_as_unbiased_ones() -> None:
    rng = np.random.default_rng(6)
    sick = rng.integers(0, 2, size=1600)
    plain = (2.0 * sick - 1.0 + rng.normal(0, 1.0, len(sick)))[:, None]
    biased = [part + bias for part, bias in zip(np.split(plain, 4), (1.5, 1.5, -1.5, -1.5), strict=True)]
    aligned = [part + offset for part, offset in zip(biased, align_positive_rates(biased), strict=True)]

    def right(parts: list[np.ndarray]) -> float:
        """Balanced accuracy of the second half of the folds by the threshold of the first."""
        scores = expit(np.concatenate(parts)[:, 0])
        threshold = best_threshold(scores[:800], sick[:800], BINARY_TERMS["balanced_accuracy"])
        return float(balanced_accuracy_score(sick[800:], scores[800:] >= threshold))

    assert right(biased) < right([plain]) - 0.1
    assert right(aligned) > right([plain]) - 0.01


@pytest.mark.parametrize("far", [60.0, -60.0])
def test_an_offset_is_bounded(far: float) -> None:
    sure = np.full((3, 1), far)
    unsure = np.zeros((3, 1))
    assert align_positive_rates([sure, unsure])[0] == pytest.approx(-np.sign(far) * MAX_OFFSET)
    levels = align_fold_biases([np.array([[0.0, far, 2 * far]]), np.zeros((1, 3))])
    assert levels[0][1] == pytest.approx(-np.sign(far) * MAX_OFFSET)


def test_each_task_aligns_its_fold_models_or_not() -> None:
    frame = pd.DataFrame({"label": ["0", "1", "2", "3"] * 3})
    logits = folds_of(np.random.default_rng(3), [0.0, 1.0])[0]
    assert Multiclass.from_frame(frame, "label").fold_offsets(logits) is None
    offsets = Ordinal.from_frame(frame, "label").fold_offsets(logits)
    np.testing.assert_allclose(offsets, align_fold_biases(logits))
    offsets = Multilabel.from_frame(frame, "label").fold_offsets(logits)
    np.testing.assert_allclose(offsets, align_positive_rates(logits))
    one = [each[:, :1] for each in logits]
    offsets = Binary.from_frame(frame[frame["label"] < "2"], "label").fold_offsets(one)
    np.testing.assert_allclose(offsets, align_positive_rates(one))
