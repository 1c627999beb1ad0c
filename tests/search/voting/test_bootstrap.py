"""Bootstrap intervals: how often they hold the truth, what pairs and groups do to them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit, softmax
from scipy.stats import binom

from foldtune.search.voting.bootstrap import Bootstrap, bootstrap_interval, paired_interval
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel

Array = npt.NDArray[np.float64]
TASK = Binary("label", ("no", "yes"))


def draw(rows: int, seed: int, noise: float = 1.0) -> tuple[Array, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(2, size=rows)
    return expit(2.0 * targets - 1.0 + noise * rng.normal(size=rows)), targets


def test_an_accuracy_has_the_interval_of_the_binomial() -> None:
    scores, targets = draw(400, 0)
    found = bootstrap_interval(Objective(TASK, "accuracy", targets), (scores, TASK.predict(scores)))
    assert found.value == np.mean((scores >= 0.5) == targets)
    low, high = binom.interval(0.95, 400, found.value)
    assert found.low == pytest.approx(low / 400, abs=0.006)
    assert found.high == pytest.approx(high / 400, abs=0.006)


def test_drawing_fewer_rows_gives_the_same_width() -> None:
    """20,000 rows of 5 labels are more than are evaluated a sample."""
    rng = np.random.default_rng(0)
    task = Multilabel("labels", tuple("abcde"))
    targets = (rng.random((20_000, 5)) < 0.3).astype(np.int64)
    scores = expit(2.0 * targets - 1.0 + rng.normal(size=targets.shape))
    predictions = task.predict(scores)
    found = bootstrap_interval(Objective(task, "accuracy", targets), (scores, predictions), Bootstrap(samples=200))
    low, high = binom.interval(0.95, 20_000, found.value)
    assert found.high - found.low == pytest.approx((high - low) / 20_000, rel=0.2)
    assert found.low < found.value < found.high


@pytest.mark.slow
def test_the_interval_has_its_nominal_coverage() -> None:
    scores, targets = draw(200_000, 0)
    truth = TASK.evaluate(scores, TASK.predict(scores), targets)["f1"]
    held = 0
    for seed in range(60):
        scores, targets = draw(150, 1 + seed)
        found = bootstrap_interval(
            Objective(TASK, "f1", targets), (scores, TASK.predict(scores)), Bootstrap(samples=150, seed=seed)
        )
        held += found.low <= truth <= found.high
    low, high = binom.interval(0.999, 60, 0.95)
    assert low <= held <= high


def test_pairs_see_what_two_intervals_do_not() -> None:
    """Both predictors are wrong on the same hard rows, one on a few more: only the paired interval separates them."""
    rng = np.random.default_rng(0)
    targets = rng.integers(2, size=500)
    hard, slip = rng.random(500) < 0.3, rng.random(500) < 0.04
    good = np.where(hard, 1 - targets, targets).astype(float)
    worse = np.where(slip, 1 - good, good)
    pair = [(scores, TASK.predict(scores)) for scores in (good, worse)]
    first, second = (bootstrap_interval(Objective(TASK, "accuracy", targets), each) for each in pair)
    assert first.low < second.high, "they overlap"
    found = paired_interval(Objective(TASK, "accuracy", targets), pair[0], pair[1])
    assert found.value == pytest.approx(first.value - second.value)
    turned = paired_interval(Objective(TASK, "accuracy", targets), pair[1], pair[0])
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert found.high - found.low < 0.6 * (first.high - first.low)
    same = paired_interval(Objective(TASK, "accuracy", targets), pair[0], pair[0])
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_copies_of_a_row_are_no_further_evidence() -> None:
    scores, targets = draw(200, 0)
    once = bootstrap_interval(Objective(TASK, "accuracy", targets), (scores, TASK.predict(scores)))
    copied, groups = np.repeat(scores, 5), np.repeat(np.arange(200), 5)
    answers = (copied, TASK.predict(copied))
    grouped = bootstrap_interval(Objective(TASK, "accuracy", np.repeat(targets, 5)), answers, Bootstrap(groups=groups))
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high), abs=1e-12)
    fooled = bootstrap_interval(Objective(TASK, "accuracy", np.repeat(targets, 5)), answers)
    assert fooled.high - fooled.low < 0.6 * (once.high - once.low)


def test_with_ids_as_groups_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    task = Multiclass("label", ("a", "b", "c"), (1, 1, 1))
    targets = rng.integers(3, size=80)
    scores = softmax(np.eye(3)[targets] + rng.normal(size=(80, 3)), axis=1)
    predictions, ids = task.predict(scores), np.array([f"img{i}" for i in range(80)])
    expected = bootstrap_interval(
        Objective(task, "macro_f1", targets), (scores, predictions), Bootstrap(groups=ids, samples=100)
    )
    order = rng.permutation(80)
    moved = (scores[order], predictions[order])
    found = bootstrap_interval(
        Objective(task, "macro_f1", targets[order]), moved, Bootstrap(groups=ids[order], samples=100)
    )
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_a_single_row_has_no_spread() -> None:
    found = bootstrap_interval(
        Objective(TASK, "accuracy", np.array([1])), (np.array([0.9]), np.array([1])), Bootstrap(samples=5)
    )
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_predictions_that_are_objects_are_only_moved_about() -> None:
    """As a task of places has them: an array of boxes of its own for each image."""

    class Boxes(Binary):
        def evaluate(self, scores, predictions, targets):  # type: ignore[no-untyped-def]
            return {
                "accuracy": float(
                    np.mean([len(boxes) == count for boxes, count in zip(predictions, targets, strict=True)])
                )
            }

    predictions = np.empty(40, dtype=object)
    predictions[:] = [np.zeros((i % 3, 9)) for i in range(40)]
    targets, maps = np.arange(40) % 2, np.zeros((40, 4, 4))
    found = bootstrap_interval(
        Objective(Boxes("label", ("no", "yes")), "accuracy", targets), (maps, predictions), Bootstrap(samples=50)
    )
    assert found.low < found.value == np.mean(np.arange(40) % 3 == np.arange(40) % 2) < found.high
