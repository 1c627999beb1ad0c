"""A training on soft targets and on unknown cells, from the loader to the metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.parsing import parse_settings
from foldtune.trainers.tasks.soft import SoftMulticlass, SoftMultilabel

NAMES = ("a", "b", "c")


def train(task: Task, data: FoldData, **given: Any) -> tuple[list[dict[str, float]], np.ndarray]:
    """Metrics of two epochs, and the validation logits of the best."""
    settings = parse_settings({"model_name": "test_resnet", "batch_size": 8, "augmentation": "none", **given}, task)
    training = Fit(TrainSpec(settings, task, data, task.default_metric, 2, 0), device="cpu")
    return [training.step().metrics for _ in range(2)], training.valid_logits


@pytest.mark.parametrize("given", [{"mixup": 0.4}, {"loss": "class_balanced", "sampler": "balanced"}])
def test_one_hot_targets_train_the_same_network(
    task: Task, make_fold: Callable[..., FoldData], given: dict[str, Any]
) -> None:
    data = make_fold()
    one_hot = dataclasses.replace(data, targets=np.eye(3, dtype=np.float32)[data.targets])
    metrics, logits = train(task, data, **given)
    soft_metrics, soft_logits = train(SoftMulticlass("label", NAMES, (10.0, 5.0, 5.0)), one_hot, **given)
    assert soft_logits == pytest.approx(logits, abs=1e-3)
    for hard, soft in zip(metrics, soft_metrics, strict=True):
        assert soft["train_loss"] == pytest.approx(hard["train_loss"], abs=1e-4)
        assert soft["loss"] == pytest.approx(hard["loss"], abs=1e-3)


def test_unknown_cells_train_and_certain_labels_are_hard_ones(
    make_fold: Callable[..., FoldData],
) -> None:
    given = {"loss": "focal", "sampler": "balanced", "mixup": 0.0}
    data = make_fold()
    labels = np.eye(3, dtype=np.float32)[data.targets]
    known = np.random.default_rng(0).random(labels.shape) < 0.8
    masked = np.where(known, labels, np.nan).astype(np.float32)
    metrics, _ = train(SoftMultilabel("label", NAMES), dataclasses.replace(data, targets=masked), **given)
    assert all(np.isfinite(value) for each in metrics for value in each.values())
    certain = dataclasses.replace(data, targets=labels)
    plain = dataclasses.replace(data, targets=labels.astype(np.int64))
    hard, soft = (
        train(Multilabel("label", NAMES), plain, **given),
        train(SoftMultilabel("label", NAMES), certain, **given),
    )
    assert soft[1] == pytest.approx(hard[1], abs=1e-3)
    assert hard[0][0]["train_loss"] != pytest.approx(metrics[0]["train_loss"], abs=1e-6)
