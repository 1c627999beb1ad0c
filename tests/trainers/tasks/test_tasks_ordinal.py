from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from foldtune.errors import DataError, SettingsError
from foldtune.trainers.components import Component
from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.inference.predictor import InferenceOptions, predict_logits
from foldtune.trainers.metrics.classification import ORDINAL_METRICS
from foldtune.trainers.postprocess.cuts import expected_levels, fit_cuts
from foldtune.trainers.settings import settings_to_dict
from foldtune.trainers.tasks.crossfit import cross_fitted_score
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.tasks.parsing import parse_settings

TASK = Ordinal("grade", ("0", "1", "2", "3"), (4, 3, 2, 1))
RETINA = Path(__file__).parents[4] / "shared" / "data" / "retinamnist"


def problems_of(cuts: object, key: str = "cuts") -> dict[str, str]:
    return {problem.path: problem.message for problem in TASK.check_postprocess({key: cuts})}


def frame_of(*labels: str) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{i}.png" for i in range(len(labels))], "grade": labels})


def unsure_scores(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a weak model, whose expected levels crowd in the middle, and the targets."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    logits = rng.normal(size=(n, 4)) - 0.4 * np.abs(targets[:, None] - np.arange(4))
    return TASK.scores(logits), targets


def test_levels_are_sorted_as_numbers() -> None:
    task = Ordinal.from_frame(frame_of("10", "9", "-1", "10", "9.5"), "grade")
    assert task.label_names == ("-1", "9", "9.5", "10")
    assert task.encode(frame_of("9", "10")).tolist() == [1, 3]
    assert task.to_dict()["task"] == "ordinal"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("mild", "none", "2"), "not a number: 'mild', 'none'; levels are ordered as numbers"),
        (("1", "1.0", "2"), "'1' and '1.0' are one number"),
        (("1", "inf"), "not a number: 'inf'"),
        (("1", "1"), "only the label '1'; ordinal needs at least two"),
    ],
)
def test_an_order_that_is_not_plain_is_refused(labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Ordinal.from_frame(frame_of(*labels), "grade")


def test_rounding_is_the_default_and_argmax_a_choice() -> None:
    scores = np.array([[0.5, 0.1, 0.1, 0.3], [0.5, 0.0, 0.5, 0.0], [0.1, 0.1, 0.1, 0.7]])
    assert TASK.predict(scores).tolist() == [1, 1, 2]
    assert TASK.predict(scores, {"cuts": "argmax"}).tolist() == [0, 0, 3]
    assert TASK.predict(scores, {"cuts": [0.5, 1.5, 2.5]}).tolist() == [1, 1, 2]


def test_cuts_may_name_their_level_and_leave_others_out() -> None:
    scores = np.array([[0.5, 0.1, 0.1, 0.3], [0.1, 0.1, 0.1, 0.7]])
    assert TASK.predict(scores, {"cuts": {"2": 1.1}}).tolist() == [2, 2]
    assert TASK.predict(scores, {"cuts": {3: 2.2}}).tolist() == [1, 3]  # YAML reads the name as a number


@pytest.mark.parametrize("cuts", ["rounding", "argmax", [0.5, 0.5, 3], (1, 2, 2.5), {"1": 0.2, 3: 2.0}, {}])
def test_valid_cuts(cuts: object) -> None:
    assert problems_of(cuts) == {}


@pytest.mark.parametrize(
    ("cuts", "path", "message"),
    [
        ("argmin", "postprocess.cuts", "did you mean 'argmax'"),
        ([0.5, 1.5], "postprocess.cuts", "2 cuts; 4 levels need 3"),
        ([0.5, 1.5, 1.0], "postprocess.cuts", "1 comes after 1.5 in 0.5, 1.5, 1"),
        ([0.5, float("nan"), 2.0], "postprocess.cuts.1", "must be a number >= -1 and <= 4"),
        ([0.5, float("inf"), 2.0], "postprocess.cuts.1", "must be a number"),
        ([0.5, True, 2.0], "postprocess.cuts.1", "not True"),
        ({"1": 1.6}, "postprocess.cuts", "must not fall"),
        ({"0": 0.1}, "postprocess.cuts.0", "lowest level"),
        ({"7": 0.1}, "postprocess.cuts.7", "unknown level '7'"),
        (1.5, "postprocess.cuts", "must be rounding, argmax, 3 numbers"),
        (None, "postprocess.cuts", "not None"),
    ],
)
def test_wrong_cuts_are_explained(cuts: object, path: str, message: str) -> None:
    assert message in problems_of(cuts)[path]


def test_another_key_is_refused_with_the_nearest() -> None:
    assert "did you mean 'cuts'" in problems_of([], key="cut")["postprocess.cut"]


def test_the_default_metric_is_scikit_learns() -> None:
    scores, targets = unsure_scores(300)
    predictions = TASK.predict(scores)
    expected = cohen_kappa_score(targets, predictions, labels=range(4), weights="quadratic")
    assert TASK.evaluate(scores, predictions, targets)[TASK.default_metric] == pytest.approx(expected)


@pytest.mark.parametrize("metric", sorted(ORDINAL_METRICS))
def test_fitted_cuts_are_never_worse_than_either_rule(metric: str) -> None:
    sign = 1 if TASK.mode(metric) == "max" else -1
    for n in (1, 2, 7, 100):
        for seed in range(5):
            scores, targets = unsure_scores(n, seed)

            def value(postprocess: dict[str, Any], scores: Any = scores, targets: Any = targets) -> float:
                return sign * TASK.evaluate(scores, TASK.predict(scores, postprocess), targets)[metric]

            fitted = value(TASK.fit_postprocess(scores, targets, metric))
            assert fitted >= max(value({"cuts": "rounding"}), value({"cuts": "argmax"})) - 1e-12


def test_where_nothing_is_gained_the_default_stays() -> None:
    scores = np.eye(4)[[0, 1, 2, 3]]
    assert TASK.fit_postprocess(scores, np.arange(4), "qwk") == {"cuts": "rounding"}


def test_by_accuracy_cuts_must_be_surely_better_than_the_likeliest_level() -> None:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.full(4, 0.5), 400)
    drawn = (rng.random((400, 1)) > scores.cumsum(axis=1)).sum(axis=1)  # from the scores, so argmax is best
    assert TASK.fit_postprocess(scores, drawn, "accuracy") == {"cuts": "argmax"}
    assert isinstance(TASK.fit_postprocess(scores, drawn, "qwk")["cuts"], list)

    upper = np.roll(scores, 1, axis=1)  # a model whose likeliest level is uninformative, and whose mean is not
    upper[:, 0] = 0.0
    targets = (expected := (upper @ np.arange(4)) / upper.sum(axis=1)).argsort().argsort() * 4 // 400
    fitted = TASK.fit_postprocess(upper, targets, "accuracy")["cuts"]
    assert isinstance(fitted, list)
    assert (np.searchsorted(fitted, expected, side="right") == targets).mean() > 0.99


def test_by_accuracy_cuts_that_are_better_by_two_rows_are_not_taken() -> None:
    better = 0
    for seed in range(10):
        scores, targets = unsure_scores(12, seed)
        cuts = fit_cuts(expected_levels(scores), targets, "accuracy", 4).tolist()
        hits = [(TASK.predict(scores, {"cuts": each}) == targets).sum() for each in (cuts, "argmax", "rounding")]
        if 0 < hits[0] - max(hits[1:]) <= 2:
            better += 1
            assert TASK.fit_postprocess(scores, targets, "accuracy")["cuts"] in ("argmax", "rounding")
    assert better


def test_fitting_pays_on_rows_that_it_has_not_seen() -> None:
    scores, targets = unsure_scores(1000)
    plain = TASK.evaluate(scores, TASK.predict(scores), targets)["qwk"]
    assert cross_fitted_score(TASK, scores, targets, "qwk") > plain + 0.02


def test_votes() -> None:
    low, high = np.array([[0.6, 0.4, 0, 0]]), np.array([[0, 0, 0.1, 0.9]])
    members = [low, low, high]
    mean, soft = TASK.vote(members, voting="soft")
    assert mean == pytest.approx(np.array([[0.4, 0.8 / 3, 0.1 / 3, 0.3]]))
    assert soft.tolist() == [1]  # expected level 1.23
    assert TASK.vote(members, voting="hard")[1].tolist() == [0]
    assert TASK.vote(members, voting="hard", min_votes=3)[1].tolist() == [1]
    assert TASK.vote(members, voting="weighted", weights=[0, 0, 1])[1].tolist() == [3]
    assert TASK.vote(members, voting="soft", postprocess={"cuts": [0.1, 0.2, 1.2]})[1].tolist() == [3]


def test_a_submission_names_levels_as_the_table_did() -> None:
    task = Ordinal("grade", ("2", "10"), (1, 1))
    frame = task.submission_frame(["a.png", "b.png"], np.array([1, 0]), ("image", "grade"))
    assert frame.to_dict("list") == {"image": ["a.png", "b.png"], "grade": ["10", "2"]}


@pytest.mark.parametrize("loss", ["coral", "corn", "sord"])
def test_a_loss_for_levels_is_refused_on_classes_without_an_order(loss: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"loss": loss}, Multiclass("dx", ("a", "b", "c"), (1, 1, 1)))
    (problem,) = caught.value.problems
    assert problem.path == "loss"
    assert f"loss '{loss}' does not fit task multiclass: it needs classes in an order (ordinal)" in problem.message
    assert "valid: cross_entropy, " in problem.message


def test_a_loss_of_yes_or_no_answers_is_refused_on_levels() -> None:
    with pytest.raises(SettingsError, match="does not fit task ordinal: it needs labels that are on or off"):
        parse_settings({"loss": {"name": "bce"}}, TASK)


def test_an_unknown_loss_still_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'coral'"):
        parse_settings({"loss": "corals"}, TASK)


def test_settings_with_cuts_go_to_json_and_back() -> None:
    given = {"loss": {"name": "sord", "alpha": 0.5}, "postprocess": {"cuts": [0.4, 1.2, 2.0]}}
    settings = parse_settings(given, TASK)
    assert settings.loss == Component("sord", {"alpha": 0.5, "power": 2.0})
    assert parse_settings(settings_to_dict(settings), TASK) == settings


def level_images(n: int = 48) -> FoldData:
    """Images as bright as their level; every level in both folds."""
    rng = np.random.default_rng(0)
    targets = np.arange(n) % 4
    pixels = (targets[:, None, None, None] * 60 + rng.integers(0, 40, (n, 32, 32, 3))).astype(np.uint8)
    rows = rng.permutation(n)

    class Images:
        shape = pixels.shape

        def __len__(self) -> int:
            return n

        def read(self, rows: np.ndarray) -> np.ndarray:
            return pixels[rows]

    ids = np.array([f"{i}.png" for i in range(n)])
    return FoldData(Images(), targets, ids, rows[: n * 2 // 3], rows[n * 2 // 3 :])


@pytest.mark.parametrize("loss", ["coral", "corn"])
def test_networks_with_heads_of_their_own_train_resume_and_are_rebuilt(loss: str, tmp_path: Path) -> None:
    mapping = {
        "model_name": "test_resnet",
        "loss": loss,
        "batch_size": 16,
        "augmentation": "none",
        "ema_decay": 0.5,
        "layer_decay": 0.8,
        "postprocess": "tuned",
        "lr": 5e-3,
    }
    settings, data = parse_settings(mapping, TASK), level_images()

    def start() -> Fit:
        return Fit(TrainSpec(settings, TASK, data, metric="qwk", epochs=3, seed=0), device="cpu")

    whole = start()
    reports = [whole.step() for _ in range(3)]
    assert reports[-1].metrics["train_loss"] < reports[0].metrics["train_loss"]
    half = start()
    half.step()
    half.save(tmp_path / "checkpoint.pt")
    again = start()
    again.restore(tmp_path / "checkpoint.pt")
    assert [again.step().metrics, again.step().metrics] == [report.metrics for report in reports[1:]]
    assert whole.valid_logits.shape == (16, 4)
    rebuilt = TASK.build_model(settings)
    rebuilt.load_state_dict(whole.best_weights())
    logits = predict_logits(rebuilt, data.images, data.valid_rows, InferenceOptions(batch_size=16, device="cpu"))
    assert logits == pytest.approx(whole.valid_logits, abs=1e-5)
    for fit in (whole, half, again):
        fit.close()


def test_an_evaluation_of_a_thousand_rows_takes_about_a_millisecond() -> None:
    scores, targets = unsure_scores(1000)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        TASK.evaluate(scores, TASK.predict(scores), targets)
        times.append(time.perf_counter() - started)
    assert min(times) < 2e-3


@pytest.mark.skipif(not RETINA.exists(), reason="no folder shared/data/retinamnist beside the repository")
def test_grades_of_retinopathy_are_read() -> None:
    frame = Ordinal.read_frame(RETINA / "train.csv")
    task = Ordinal.from_frame(frame, "grade")
    assert task.label_names == ("0", "1", "2", "3", "4")
    assert task.counts == (540, 140, 234, 214, 72)
