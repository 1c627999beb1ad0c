"""Labels that evaluate a training or a fit do not affect it: corrupted, they change metrics and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.loading.samplers import SAMPLERS
from foldtune.trainers.tasks import TASKS, Task
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions
from foldtune.trainers.tasks.parsing import parse_settings

TRAIN, VALID, SIZE = 20, 12, 32


@dataclass(frozen=True)
class Kind:
    """A task's label frequencies, its corrupted label, and a post-processing as a space samples it."""

    labels: tuple[str, ...]
    shares: tuple[float, ...]
    corrupted: str
    postprocess: dict[str, Any]


KINDS = {
    "binary": Kind(("no", "yes"), (0.7, 0.3), "yes", {"threshold": 0.4}),
    "multiclass": Kind(("a", "b", "c"), (0.6, 0.3, 0.1), "c", {"prior_power": 1.0, "offsets": {"b": 0.1}}),
    "multilabel": Kind(("a", "b", "a|c", ""), (0.4, 0.3, 0.2, 0.1), "a|b|c", {"thresholds": {"c": 0.4}}),
    "ordinal": Kind(("0", "1", "2", "3"), (0.4, 0.3, 0.2, 0.1), "3", {"cuts": [0.6, 1.4, 1.6]}),
}
LOSSES = [(task, loss) for task in KINDS for loss in TASKS[task].losses]
COMBINATIONS = [(task, loss, sampler) for (task, loss), sampler in zip(LOSSES, cycle(sorted(SAMPLERS)), strict=False)]


def table(kind: Kind, rows: int, corrupted: npt.NDArray[np.int64] | None = None) -> pd.DataFrame:
    """A label a row, in the kind's shares; all labels come in the first rows; those named are corrupted."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([kind.labels, rng.choice(kind.labels, rows - len(kind.labels), p=kind.shares)])
    if corrupted is not None:
        labels[corrupted] = kind.corrupted
    return pd.DataFrame({"label": labels})


def learn(name: str, frame: pd.DataFrame) -> tuple[Task, npt.NDArray[Any]]:
    task = TASKS[name].from_frame(frame, "label")
    return task, task.encode(frame)


def start(name: str, frame: pd.DataFrame, loss: str, sampler: str, images: Any) -> Fit:
    task, targets = learn(name, frame)
    rows = np.arange(len(frame))
    data = FoldData(images, targets, rows.astype(str), rows[:TRAIN], rows[TRAIN:])
    given = {"model_name": "test_resnet", "batch_size": 10, "loss": loss, "augmentation": "light", "sampler": sampler}
    settings = parse_settings(given | {"postprocess": KINDS[name].postprocess}, task)
    return Fit(TrainSpec(settings, task, data, metric=task.default_metric, epochs=2, seed=0), device="cpu")


@dataclass(frozen=True)
class Images:
    array: npt.NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __len__(self) -> int:
        return len(self.array)

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        return self.array[rows]


def of_loss(training: Fit) -> dict[str, Any]:
    """Weights, counts and constants of a loss."""
    criterion = training._learner.criterion
    return {name: tensor.tolist() for name, tensor in criterion.state_dict().items()} | {
        name: value for name, value in vars(criterion).items() if isinstance(value, (int, float))
    }


def draws(training: Fit) -> list[list[int]]:
    """The rows of three epochs."""
    rows, classes = training.data.train_rows, training._trainer.classes
    return [training._trainer.sampler.order(rows, classes, epoch, training.seed).tolist() for epoch in (1, 2, 3)]


@pytest.mark.parametrize(("name", "loss", "sampler"), COMBINATIONS)
def test_validation_labels_do_not_affect_a_training(name: str, loss: str, sampler: str) -> None:
    kind, judging = KINDS[name], np.arange(TRAIN, TRAIN + VALID)
    pixels = np.random.default_rng(1).integers(0, 255, (TRAIN + VALID, SIZE, SIZE, 3), dtype=np.uint8)
    frames = (table(kind, TRAIN + VALID), table(kind, TRAIN + VALID, judging))
    clean, corrupted = (start(name, frame, loss, sampler, Images(pixels)) for frame in frames)
    assert of_loss(clean) == of_loss(corrupted)
    assert draws(clean) == draws(corrupted)
    metrics = [training.step().metrics for training in (clean, corrupted)]
    for left, right in zip(clean.best_weights().values(), corrupted.best_weights().values(), strict=True):
        assert torch.equal(left, right)
    assert np.array_equal(clean.valid_logits, corrupted.valid_logits)
    scores = clean.task.scores(clean.valid_logits)
    postprocess = clean.settings.postprocess
    assert np.array_equal(clean.task.predict(scores, postprocess), corrupted.task.predict(scores, postprocess))
    assert metrics[0]["train_loss"] == metrics[1]["train_loss"]
    assert metrics[0]["loss"] != metrics[1]["loss"], "corrupted labels should reach the figures"


def test_every_sampler_is_tried_with_every_task() -> None:
    for name in KINDS:
        assert {sampler for task, _, sampler in COMBINATIONS if task == name} == set(SAMPLERS)


def test_the_prior_of_a_training_is_that_of_its_rows() -> None:
    kind, judging = KINDS["multiclass"], np.arange(TRAIN, TRAIN + VALID)
    clean, targets = learn("multiclass", table(kind, TRAIN + VALID))
    corrupted, _ = learn("multiclass", table(kind, TRAIN + VALID, judging))
    assert clean != corrupted, "the whole table has the other fold"
    assert clean.for_training(targets[:TRAIN]) == corrupted.for_training(targets[:TRAIN])


@pytest.mark.parametrize("name", KINDS)
def test_labels_of_a_split_do_not_reach_the_fit_evaluated_on_it(name: str) -> None:
    kind, size, split = KINDS[name], 80, 2
    task, targets = learn(name, table(kind, size))
    splits = make_splits(task.strata(targets))
    other, corrupted = learn(name, table(kind, size, np.flatnonzero(splits == split)))
    noise = np.random.default_rng(2).normal(size=(size, task.head_size))
    wanted = targets if targets.ndim == 2 else np.eye(max(2, task.head_size))[targets][:, -task.head_size :]
    scores = task.scores(noise + 1.5 * wanted + np.log(wanted.mean(axis=0)))  # a model that has learnt the shares
    changed = []
    for metric in sorted(task.tunable_metrics):
        before = cross_fitted_predictions(task, scores, targets, metric, splits)
        after = cross_fitted_predictions(other, scores, corrupted, metric, splits)
        assert np.array_equal(before[splits == split], after[splits == split])
        changed.append(not np.array_equal(before[splits != split], after[splits != split]))
    assert any(changed), "they should reach the fits that are evaluated on other splits"
