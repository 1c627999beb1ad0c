"""Every registered task passes the same life cycle, which is the whole protocol of a task.

A new task needs one entry in ``CASES``.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from albumentations import HorizontalFlip

from foldtune.errors import SettingsError
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.detection.targets import draw_text
from foldtune.trainers.loading.augment import Augmentation
from foldtune.trainers.tasks import TASKS, Task, task_from_dict
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions, cross_fitted_score
from foldtune.trainers.tasks.registry import SOFT_TASKS

MEMBERS = 3


@dataclass(frozen=True)
class Case:
    """A labelled table, its target columns, and plausible logits for its rows."""

    file_name: str
    table: Callable[[], str]
    target: str
    logits: Callable[[Task, np.ndarray, np.random.Generator], np.ndarray]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Life:
    """One task with the results of its earlier stages."""

    kind: str
    case: Case
    task: Task
    frame: Any
    path: Path
    targets: np.ndarray
    logits: np.ndarray  # (MEMBERS, N, ...)

    @property
    def scores(self) -> np.ndarray:
        return self.task.scores(self.logits[0])

    @property
    def member_scores(self) -> list[np.ndarray]:
        return [self.task.scores(logits) for logits in self.logits]


def classes_table() -> str:
    labels = np.random.default_rng(0).choice(["cat", "dog", "NA", "owl"], 120, p=[0.6, 0.2, 0.15, 0.05])
    return "image,label\n" + "".join(f"{i:03}.png,{label}\n" for i, label in enumerate(labels))


def class_logits(task: Task, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(len(targets), task.head_size)) + 1.5 * np.eye(task.head_size)[targets]


def answers_table() -> str:
    labels = np.random.default_rng(0).choice(["no", "yes"], 120, p=[0.75, 0.25])
    return "image,label\n" + "".join(f"{i:03}.png,{label}\n" for i, label in enumerate(labels))


def answer_logits(task: Task, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(len(targets), 1)) + 1.5 * targets[:, None] - 1.5


def label_sets_table() -> str:
    shares = {"cat": 0.5, "dog": 0.25, "NA": 0.15, "owl": 0.3, "yak": 0.1, "emu": 0.2}
    on = np.random.default_rng(0).random((120, len(shares))) < list(shares.values())
    sets = ["|".join(name for name, has in zip(shares, row, strict=True) if has) for row in on]
    return "image,label\n" + "".join(f"{i:03}.png,{labels}\n" for i, labels in enumerate(sets))


def label_logits(task: Task, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=targets.shape) + 1.5 * targets - 1.5


def levels_table() -> str:
    levels = np.random.default_rng(0).choice([2, 9, 10, 11], 120, p=[0.5, 0.25, 0.15, 0.1])
    return "image,label\n" + "".join(f"{i:03}.png,{level}\n" for i, level in enumerate(levels))


def weights_table() -> str:
    weights = np.random.default_rng(0).dirichlet([0.6, 0.3, 0.2], 120)
    cells = [dict(zip(("cat", "dog", "NA"), row.round(3).tolist(), strict=True)) for row in weights]
    return "image,label\n" + "".join(f'{i:03}.png,"{cell}"\n' for i, cell in enumerate(cells))


def soft_class_logits(task: Task, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=targets.shape) + 1.5 * np.eye(task.head_size)[targets.argmax(axis=1)]


def unknown_cells_table() -> str:
    rng = np.random.default_rng(0)
    values = rng.choice([0.0, 0.3, 0.75, 1.0, np.nan], (120, 4), p=[0.5, 0.1, 0.1, 0.1, 0.2])
    rows = [dict(zip("abcd", (None if np.isnan(v) else float(v) for v in row), strict=True)) for row in values]
    return "image,label\n" + "".join(f'{i:03}.png,"{cell}"\n' for i, cell in enumerate(rows))


def soft_label_logits(task: Task, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=targets.shape) + 1.5 * np.nan_to_num(targets) - 1.0


def pages_table() -> str:
    """Pages of one to four lines of text, and some without."""
    rng = np.random.default_rng(0)
    pages = {}
    for page in range(44):
        tops = [0.05 + 0.24 * line for line in range(4) if page % 7 and rng.random() < 0.7]
        widths = rng.uniform(0.3, 0.9, len(tops))
        boxes = [
            {"points": [[5, 80 * y], [5 + 90 * w, 80 * y], [5 + 90 * w, 80 * y + 15], [5, 80 * y + 15]]}
            for y, w in zip(tops, widths, strict=True)
        ]
        pages[f"{page:03}.jpg"] = {"width": 100, "height": 80, "boxes": boxes}
    return json.dumps(pages)


def map_logits(task: Task, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Maps of 32x32, each line of text with random contrast."""
    text = np.stack([draw_text(target, (32, 32)) for target in targets])[:, None]
    clear = rng.uniform(0.5, 6.0, (len(targets), 1, 8, 1)).repeat(4, axis=2)
    return text * clear - 2.0 + rng.normal(0, 0.3, text.shape)


CASES = {
    "binary": Case("train.csv", answers_table, "label", answer_logits, ("image", "label")),
    "multiclass": Case("train.csv", classes_table, "label", class_logits, ("image", "label")),
    "ordinal": Case("train.csv", levels_table, "label", class_logits, ("image", "label")),
    "text_detection": Case("train.json", pages_table, "boxes", map_logits, ("image", "polygons")),
    "multilabel": Case("train.csv", label_sets_table, "label", label_logits, ("image", "label")),
    "soft multiclass": Case("train.csv", weights_table, "label", soft_class_logits, ("image", "label")),
    "soft multilabel": Case("train.csv", unknown_cells_table, "label", soft_label_logits, ("image", "label")),
}

CLASSES = {**TASKS, **{f"soft {name}": task for name, task in SOFT_TASKS.items()}}


@pytest.fixture(params=sorted(CLASSES))
def life(request: pytest.FixtureRequest, tmp_path: Path) -> Life:
    assert request.param in CASES, f"add a case for the task {request.param}"
    case = CASES[request.param]
    path = tmp_path / case.file_name
    path.write_text(case.table())
    task_class = CLASSES[request.param]
    frame = task_class.read_frame(path)
    task = task_class.from_frame(frame, case.target)
    targets = task.encode(frame, path)
    rng = np.random.default_rng(0)
    logits = np.stack([case.logits(task, targets, rng) for _ in range(MEMBERS)]).astype(np.float32)
    return Life(request.param, case, task, frame, path, targets, logits)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether predictions are equal, object arrays included."""
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_declarations_of_the_class_are_consistent(life: Life) -> None:
    task = life.task
    assert CLASSES[life.kind] is type(task)
    assert task.default_metric in task.metrics
    assert task.tunable_metrics <= set(task.metrics)
    assert task.metrics["loss"] == "min"
    assert {task.mode(metric) for metric in task.metrics} <= {"max", "min"}
    assert task.losses
    assert {"soft", "hard"} <= set(task.votings)
    assert set(task.default_postprocess()) == set(task.postprocess_names)


def test_targets_are_rows_that_numpy_stores_without_pickle(life: Life, tmp_path: Path) -> None:
    assert len(life.targets) == len(life.frame)
    np.savez(tmp_path / "t.npz", targets=life.targets, logits=life.logits[0])
    with np.load(tmp_path / "t.npz", allow_pickle=False) as stored:
        assert np.array_equal(stored["targets"], life.targets, equal_nan=life.targets.dtype.kind == "f")
    assert np.array_equal(
        life.task.encode(life.frame[::-1], life.path),
        life.targets[::-1],
        equal_nan=life.targets.dtype.kind == "f",
    )


def test_strata_classes_and_counts_belong_to_the_rows(life: Life) -> None:
    task, targets = life.task, life.targets
    strata, sampled = task.strata(targets), task.sampling_classes(targets)
    assert len(strata) == len(targets)
    assert strata.ndim in (1, 2)
    assert sampled.shape == (len(targets),)
    assert sampled.min() >= 0
    halves = np.arange(len(targets)) % 2 == 0
    counts = task.class_counts(targets)
    assert np.array_equal(task.class_counts(targets[halves]) + task.class_counts(targets[~halves]), counts)
    assert task.support(targets).keys() == set(task.label_names)
    assert all(type(rows) is int for rows in task.support(targets).values())


def test_every_loss_trains_what_the_model_returns_and_all_are_scored_alike(life: Life) -> None:
    torch = pytest.importorskip("torch")
    from foldtune.trainers.components import Component
    from foldtune.trainers.settings import TrialSettings

    task = life.task
    batch = task.collate(life.targets[:8], (32, 32))
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for name in task.losses:
        settings = TrialSettings(model_name="test_resnet", loss=Component(name))
        model = task.build_model(settings)
        losses = task.build_loss(settings.loss, life.targets)(model.train()(images), batch)
        assert losses.shape == (8,)
        assert torch.isfinite(losses).all()
        losses.mean().backward()
        missed = [name for name, parameter in model.named_parameters() if parameter.grad is None]
        assert not missed
        with torch.inference_mode():
            logits = model.eval()(images).numpy()
        assert logits.shape == life.logits[0][:8].shape
        scores = task.scores(logits)
        assert np.isfinite(scores).all()
        assert scores.shape == life.scores[:8].shape


def test_augmentation_keeps_the_form_of_image_and_target(life: Life) -> None:
    image = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    flip = Augmentation([HorizontalFlip(p=1.0)], 0, points=life.task.has_spatial_targets)
    flipped, target = life.task.augment(flip, image, life.targets[0])
    assert np.array_equal(flipped, image[:, ::-1])
    assert np.shape(target) == np.shape(life.targets[0])
    again = life.task.augment(flip, flipped, target)[1]
    assert again == pytest.approx(life.targets[0], nan_ok=True)
    if life.task.has_spatial_targets:
        assert not np.array_equal(target, life.targets[0])


def test_quantized_outputs_have_the_scores_of_the_outputs(life: Life) -> None:
    kept = life.task.quantize_outputs(life.logits[0])
    assert kept.nbytes <= life.logits[0].nbytes
    assert np.array_equal(life.task.scores(kept), life.scores)
    halves = [life.task.quantize_outputs(part) for part in np.array_split(life.logits[0], 2)]
    assert np.array_equal(np.concatenate(halves), kept)


def test_scores_and_predictions_are_independent_between_rows(life: Life) -> None:
    scores, order = life.scores, np.random.default_rng(1).permutation(len(life.targets))
    assert np.isfinite(scores).all()
    assert len(scores) == len(life.targets)
    predictions = life.task.predict(scores)
    assert len(predictions) == len(scores)
    assert np.array_equal(life.task.scores(life.logits[0][order]), scores[order])
    assert same(life.task.predict(scores[order]), predictions[order])
    assert same(life.task.predict(scores, life.task.default_postprocess()), predictions)


@pytest.mark.filterwarnings("error")
def test_evaluation_gives_every_metric_for_any_rows(life: Life) -> None:
    task, scores, targets = life.task, life.scores, life.targets
    predictions = task.predict(scores)
    order = np.random.default_rng(1).permutation(len(targets))
    values = task.evaluate(scores, predictions, targets)
    assert list(values) == list(task.metrics)
    assert values == pytest.approx(task.evaluate(scores[order], predictions[order], targets[order]))
    for rows in (slice(0, 1), slice(0, 5), order):
        some = task.evaluate(scores[rows], predictions[rows], targets[rows])
        assert all(type(value) is float and np.isfinite(value) for value in some.values())


def test_a_single_metric_equals_that_of_a_full_evaluation(life: Life) -> None:
    scores, predictions = life.scores, life.task.predict(life.scores)
    for metric, value in life.task.evaluate(scores, predictions, life.targets).items():
        assert life.task.metric_value(metric, scores, predictions, life.targets) == pytest.approx(value, nan_ok=True)


def test_a_better_model_gets_better_metrics(life: Life) -> None:
    task = life.task
    good = task.scores(life.logits.sum(axis=0))
    bad = task.scores(np.roll(life.logits.sum(axis=0), 1, axis=0))
    high = task.evaluate(good, task.predict(good), life.targets)
    low = task.evaluate(bad, task.predict(bad), life.targets)
    for metric in task.metrics:
        if high[metric] != low[metric]:
            assert (high[metric] > low[metric]) == (task.mode(metric) == "max"), metric
    assert high[task.default_metric] != low[task.default_metric]


def test_a_fit_is_valid_json_repeatable_and_never_worse_on_its_rows(life: Life) -> None:
    task, scores, targets = life.task, life.scores, life.targets
    plain = task.evaluate(scores, task.predict(scores), targets)
    for metric in task.metrics:
        fitted = task.fit_postprocess(scores, targets, metric)
        again = json.loads(json.dumps(fitted))
        assert task.fit_postprocess(scores, targets, metric) == fitted == again
        assert task.check_postprocess(again) == []
        value = task.evaluate(scores, task.predict(scores, again), targets)[metric]
        better = value - plain[metric] if task.mode(metric) == "max" else plain[metric] - value
        assert better >= -1e-12
        if metric not in task.tunable_metrics:
            assert fitted == task.default_postprocess()


def test_wrong_postprocessing_is_refused_by_name(life: Life) -> None:
    problems = life.task.check_postprocess({"no_such_key": 1})
    assert [problem.path for problem in problems] == ["postprocess.no_such_key"]
    assert life.task.check_postprocess({}) == []


def test_cross_fitting_predicts_every_row(life: Life) -> None:
    task, scores, targets = life.task, life.scores, life.targets
    metric = sorted(task.tunable_metrics)[0]
    splits = make_splits(task.strata(targets))
    predictions = cross_fitted_predictions(task, scores, targets, metric)
    assert same(predictions, cross_fitted_predictions(task, scores, targets, metric, splits))
    held_out = splits == 1
    fitted = task.fit_postprocess(scores[~held_out], targets[~held_out], metric)
    assert same(predictions[held_out], task.predict(scores[held_out], fitted))
    value = cross_fitted_score(task, scores, targets, metric)
    assert value == task.evaluate(scores, predictions, targets)[metric]


@pytest.mark.parametrize(
    "options",
    [
        {"voting": "soft"},
        {"voting": "weighted", "weights": [3.0, 1.0, 1.0]},
        {"voting": "hard"},
        {"voting": "hard", "min_votes": 2},
    ],
)
def test_votes_do_not_depend_on_the_order_of_members_or_rows(life: Life, options: dict[str, Any]) -> None:
    task, members = life.task, life.member_scores
    if options["voting"] not in task.votings:
        with pytest.raises(SettingsError, match="unknown voting"):
            task.vote(members, **options)
        return
    scores, predictions = task.vote(members, **options)
    backwards = {**options, **({"weights": [1.0, 1.0, 3.0]} if "weights" in options else {})}
    other_scores, other = task.vote(members[::-1], **backwards)
    assert other_scores == pytest.approx(scores, abs=1e-6)
    assert same(other, predictions)
    order = np.random.default_rng(1).permutation(len(predictions))
    moved_scores, moved = task.vote([member[order] for member in members], **options)
    assert np.array_equal(moved_scores, scores[order])
    assert same(moved, predictions[order])


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_unanimous_members_win(life: Life, voting: str) -> None:
    one = life.member_scores[0]
    scores, predictions = life.task.vote([one] * MEMBERS, voting=voting)
    assert scores == pytest.approx(one)
    assert same(predictions, life.task.predict(one))


def test_a_submission_holds_every_id_in_order(life: Life) -> None:
    ids = life.frame.iloc[:, 0].to_numpy(dtype=np.str_)
    predictions = life.task.predict(life.scores)
    frame = life.task.submission_frame(ids, predictions, life.case.columns)
    assert tuple(frame.columns) == life.case.columns
    assert frame[life.case.columns[0]].tolist() == ids.tolist()
    assert not frame.isna().to_numpy().any()


def test_results_are_readable(life: Life) -> None:
    predictions = life.task.predict(life.scores)
    frame = life.task.prediction_frame(life.scores, predictions)
    assert len(frame) == len(predictions)
    assert list(frame.columns[:2]) == ["label", "score"]
    rows = json.loads(json.dumps(life.task.per_class(predictions, life.targets)))
    assert [row["label"] for row in rows] == list(life.task.label_names)
    assert {row["label"]: row["support"] for row in rows} == life.task.support(life.targets)
    assert all(0 <= row[name] <= 1 for row in rows for name in ("precision", "recall", "f1"))


def test_a_task_survives_json_and_pickle(life: Life) -> None:
    stored = json.loads(json.dumps(life.task.to_dict()))
    assert stored["task"] == life.task.name
    assert task_from_dict(stored) == life.task
    again = pickle.loads(pickle.dumps(life.task))
    assert same(again.predict(life.scores), life.task.predict(life.scores))


def test_nothing_changes_its_arguments(life: Life) -> None:
    task, members, targets = life.task, life.member_scores, life.targets
    for array in (life.logits, *members, targets):
        if isinstance(array, np.ndarray):  # rows that are made when they are looked at are made of the logits
            array.flags.writeable = False  # writing now raises
    task.evaluate(members[0], task.predict(members[0], {}), targets)
    for metric in task.metrics:
        task.fit_postprocess(members[0], targets, metric)
    for voting in ("soft", "hard"):
        task.vote(members, voting=voting)
    if "weighted" in task.votings:
        task.vote(members, voting="weighted", weights=[3.0, 1.0, 1.0])
