"""A training: sampled values take effect, edge sizes work, failures have reasons."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from foldtune.errors import SettingsError, TrialFailed
from foldtune.trainers.components import Component
from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.inference.predictor import predict_logits
from foldtune.trainers.optim.precision import choose_precision
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions
from foldtune.trainers.tasks.multiclass import Multiclass

Start = Callable[..., Fit]
FROZEN: dict[str, Any] = {"lr": 1e-12, "weight_decay": 0.0}


def test_it_learns(start: Start) -> None:
    training = start(epochs=6, lr=3e-3)
    values = [training.step().metrics["train_loss"] for _ in range(6)]
    assert training.done
    assert values[-1] < 0.6 * values[0]


def test_reported_metrics_are_those_of_the_stored_logits(start: Start, task: Multiclass) -> None:
    training = start(epochs=3)
    reports = [training.step() for _ in range(3)]
    values = [report.metrics["accuracy"] for report in reports]
    best = int(np.argmax(values))
    scores = task.scores(training.valid_logits)
    targets = training.data.targets[training.data.valid_rows]
    expected = task.evaluate(scores, task.predict(scores, {}), targets)
    last = reports[-1]
    assert (last.best_epoch, last.best_value) == (best + 1, values[best])
    assert {key: last.best_metrics[key] for key in expected} == expected
    assert expected.items() <= reports[best].metrics.items()
    assert "accuracy_tuned" in last.best_metrics
    assert [report.is_best for report in reports] == [
        value > max([-1.0, *values[:i]]) for i, value in enumerate(values)
    ]


def test_a_metric_that_is_better_when_small_selects_the_smallest(start: Start) -> None:
    training = start(epochs=4, metric="loss", lr=0.05)
    losses = [training.step().metrics["loss"] for _ in range(4)]
    assert training.best.value == min(losses)
    assert training.best.epoch == int(np.argmin(losses)) + 1
    assert training.best.metrics["loss_tuned"] == min(losses)


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "cross_entropy", "label_smoothing": 0.3},
        {"name": "focal", "gamma": 3.0},
        {"name": "weighted_cross_entropy", "power": 1.0},
        {"name": "logit_adjustment", "tau": 1.5},
    ],
)
def test_the_loss_and_its_parameters_are_used(loss: dict[str, Any], start: Start) -> None:
    training = start(model_name="test_vit", batch_size=24, loss=loss, **FROZEN)
    data = training.data
    logits = torch.from_numpy(predict_logits(training._learner.model, data.images, data.train_rows))
    targets = torch.from_numpy(data.targets[data.train_rows])
    counts = torch.bincount(targets).float()
    log_p = F.log_softmax(logits, 1)
    own = -log_p.gather(1, targets[:, None]).squeeze(1)
    expected = {
        "cross_entropy": 0.7 * own - 0.3 * log_p.mean(1),
        "focal": (1 - torch.exp(-own)) ** 3 * own,
        "weighted_cross_entropy": (len(targets) / (3 * counts))[targets] * own,
        "logit_adjustment": F.cross_entropy(logits + 1.5 * torch.log(counts / counts.sum()), targets, reduction="none"),
    }
    train_loss = training.step().metrics["train_loss"]
    assert train_loss == pytest.approx(float(expected[loss["name"]].mean()), abs=1e-4)


def test_the_sampler_decides_which_rows_are_read(start: Start) -> None:
    counts = {}
    for strength in (0.0, 1.0):
        training = start(sampler={"name": "balanced", "strength": strength})
        training.step()
        read = np.concatenate(training.data.images.log[:3])
        training.data.images.log.clear()
        assert len(read) == 24
        counts[strength] = np.bincount(training.data.targets[read]).tolist()
    assert counts == {0.0: [12, 6, 6], 1.0: [8, 8, 8]}


def test_an_imbalanced_sampler_sets_the_length_of_epoch_and_schedule_and_leaves_the_loss_its_counts(
    start: Start,
) -> None:
    sampler = {"name": "imbalanced", "strength": 1.0}  # 12, 6, 6 images become 8, 8, 8
    loss = {"name": "weighted_cross_entropy", "power": 1.0}
    training = start(sampler=sampler, loss=loss, batch_size=5, lr=0.01, epochs=2)
    reports = [training.step(), training.step()]
    read = training.data.targets[np.concatenate(training.data.images.log[:5])]
    assert np.bincount(read).tolist() == [8, 8, 8]
    assert training._learner.step == 10
    last = [0.01 * (1 + math.cos(math.pi * step / 10)) / 2 for step in (4, 9)]
    assert [report.lr for report in reports] == pytest.approx(last)
    assert training._learner.criterion.weight.tolist() == pytest.approx([24 / 36, 24 / 18, 24 / 18])


def test_a_rest_of_one_that_the_sampler_leaves_meets_no_batch_norm(
    make_fold: Callable[..., FoldData], start: Start
) -> None:
    data = make_fold(32, 4)
    labels = data.targets.copy()
    labels[:32] = np.repeat([0, 1, 2], [21, 9, 2])  # geometric mean 7.23: three times 7 images
    sampler = {"name": "imbalanced", "strength": 1.0}
    training = start(data=dataclasses.replace(data, targets=labels), sampler=sampler, batch_size=10)
    training.step()
    assert [len(rows) for rows in training.data.images.log[:-1]] == [10, 10]


def test_every_training_row_is_read_once_an_epoch_in_a_new_order(start: Start) -> None:
    training = start()
    orders = []
    for _ in range(2):
        training.data.images.log.clear()
        training.step()
        orders.append(np.concatenate(training.data.images.log[:3]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(24))
    assert orders[0] != orders[1]


def first_inputs(training: Fit) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    training._learner.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    training.step()
    return seen[0]


def test_augmentation_changes_what_the_model_sees(start: Start) -> None:
    plain = first_inputs(start())
    weak = first_inputs(start(augmentation={"name": "light", "strength": 0.1, "flips": "none"}))
    strong = first_inputs(start(augmentation={"name": "light", "strength": 1.0, "flips": "none"}))
    assert 0 < (weak - plain).abs().mean() < (strong - plain).abs().mean()


@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_layout_reaches_the_model(channels_last: bool, start: Start) -> None:
    pixels = first_inputs(start(channels_last=channels_last))
    assert pixels.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_postprocess_decides_the_selection_metric(start: Start) -> None:
    training = start(postprocess={"offsets": {"b": 100.0}})
    targets = training.data.targets[training.data.valid_rows]
    assert training.step().metrics["accuracy"] == np.mean(targets == 1)


def test_tuned_postprocess_is_fitted_and_every_figure_cross_fitted(start: Start) -> None:
    training = start(postprocess="tuned", metric="macro_f1")
    report = training.step()
    task, targets = training.task, training.data.targets[training.data.valid_rows]
    scores = task.scores(training.valid_logits)
    predictions = cross_fitted_predictions(task, scores, targets, "macro_f1")
    expected = task.evaluate(scores, predictions, targets)
    assert report.metrics["macro_f1"] == pytest.approx(expected["macro_f1"])
    assert report.metrics["accuracy"] == pytest.approx(expected["accuracy"])
    assert report.best_metrics["macro_f1_tuned"] == report.best_metrics["macro_f1"]


def flat_parameters(training: Fit) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in training._learner.model.parameters()])


def test_clip_grad_bounds_the_step(start: Start) -> None:
    moved = {}
    sgd = {"name": "sgd", "momentum": 0.0}
    for clip_grad in (0.0, 1e-3):
        training = start(batch_size=24, lr=1.0, weight_decay=0.0, optimizer=sgd, clip_grad=clip_grad)
        before = flat_parameters(training)
        training.step()
        after = flat_parameters(training)
        moved[clip_grad] = float((after - before).norm())
    assert moved[1e-3] == pytest.approx(1e-3, rel=1e-2)
    assert moved[0.0] > 0.1


def test_a_gradient_is_clipped_at_its_own_scale(start: Start) -> None:
    training = start(
        batch_size=24, lr=1.0, weight_decay=0.0, optimizer={"name": "sgd", "momentum": 0.0}, clip_grad=1e-3
    )
    training._learner.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)  # as float16 has it on a GPU
    before = flat_parameters(training)
    training.step()
    assert float((flat_parameters(training) - before).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_the_loss_of_an_epoch_is_the_mean_of_its_images_whatever_the_batches(start: Start) -> None:
    losses = [
        start(model_name="test_vit", batch_size=size, **FROZEN).step().metrics["train_loss"]
        for size in (24, 10)  # of 24 images, so that the last batch has 4
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_ema_weights_follow_the_recursion_and_are_those_validated_and_kept(start: Start) -> None:
    decay, name = 0.3, "fc.weight"
    training = start(batch_size=24, epochs=3, metric="loss", ema_decay=decay, lr=1e-2)
    average, weights = None, []
    for step in range(1, 4):
        report = training.step()
        weights.append(training._learner.model.state_dict()[name].clone())
        warm = 0.0 if step == 1 else min(decay, 1 - (1 + (step - 1)) ** (-2 / 3))
        average = weights[-1] if average is None else warm * average + (1 - warm) * weights[-1]
        logits = predict_logits(training._learner.ema.module, training.data.images, training.data.valid_rows)
        if report.is_best:
            np.testing.assert_array_equal(training.valid_logits, logits)
            torch.testing.assert_close(training.best_weights()[name], average)
    torch.testing.assert_close(training._learner.ema.module.state_dict()[name], average)
    assert not torch.equal(average, weights[-1])


def test_best_weights_give_the_best_logits(start: Start) -> None:
    training = start(epochs=3, metric="loss", lr=0.02)
    while not training.done:
        training.step()
    model = training._learner.model
    model.load_state_dict(training.best_weights())
    again = predict_logits(model, training.data.images, training.data.valid_rows)
    np.testing.assert_array_equal(again, training.valid_logits)


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_ends_a_training_that_stalls(patience: int, start: Start) -> None:
    training = start(epochs=6, patience=patience, model_name="test_vit", **FROZEN)
    reports = []
    while not training.done:
        reports.append(training.step())
    assert [report.done for report in reports] == [False] * patience + [True]
    assert reports[-1].best_epoch == 1


def test_dropout_acts_in_training_alone(start: Start) -> None:
    plain, dropped = (
        start(model_name="test_vit", **FROZEN),
        start(model_name="test_vit", drop_rate=0.9, **FROZEN),
    )
    assert plain.step().metrics["train_loss"] != dropped.step().metrics["train_loss"]
    np.testing.assert_allclose(plain.valid_logits, dropped.valid_logits, atol=1e-6)


def test_amp_on_a_cpu(start: Start) -> None:
    cpu = torch.device("cpu")
    assert [choose_precision(amp, cpu).dtype for amp in ("auto", "off", "fp16")] == [None] * 3
    seen = []
    training = start(amp="bf16")
    training._learner.model.register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))
    training.step()
    assert set(seen) == {torch.bfloat16}
    assert training.valid_logits.dtype == np.float32


def test_float16_on_a_gpu_is_scaled() -> None:
    gpu = torch.device("cuda")
    assert choose_precision("fp16", gpu).scaled
    assert not choose_precision("bf16", gpu).scaled
    assert choose_precision("bf16", gpu).dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("train", "batch_size", "images"), [(17, 8, 16), (9, 8, 8), (5, 8, 5), (2, 64, 2), (16, 8, 16)]
)
def test_batch_norm_meets_no_single_image(
    train: int, batch_size: int, images: int, start: Start, make_fold: Callable[..., FoldData]
) -> None:
    training = start(batch_size=batch_size, data=make_fold(train, 4))
    training.step()
    reads = training.data.images.log[:-1]  # the last one is the validation's
    assert sum(map(len, reads)) == images


def test_without_batch_norm_no_row_is_left_out(start: Start, make_fold: Callable[..., FoldData]) -> None:
    training = start(model_name="test_vit", batch_size=8, data=make_fold(17, 4))
    training.step()
    assert [len(rows) for rows in training.data.images.log] == [8, 8, 1, 4]


def test_batch_norm_with_batches_of_one_fails_with_the_reason(start: Start) -> None:
    with pytest.raises(TrialFailed, match="batch_size 1 is too small"):
        start(batch_size=1).step()


def test_a_loss_that_is_not_finite_ends_the_trial_before_the_step_is_taken(start: Start, tmp_path: Path) -> None:
    training = start(epochs=3)
    training.step()
    training.save(tmp_path / "checkpoint.pt")
    learner = training._learner
    calls = iter([False, True])
    learner.criterion.register_forward_hook(lambda *given: given[2] * (math.nan if next(calls) else 1.0))
    with pytest.raises(TrialFailed, match=r"loss became nan at epoch 2, step 2; lr \S+ may be too high"):
        training.step()
    assert all(torch.isfinite(parameter).all() for parameter in learner.model.parameters())
    assert learner.step == 4
    with pytest.raises(RuntimeError, match="broken off"):
        training.save(tmp_path / "checkpoint.pt")
    with pytest.raises(RuntimeError, match="broken off"):
        training.step()


def test_a_lr_far_too_high_ends_the_trial(start: Start) -> None:
    training = start(epochs=4, model_name="test_vit", lr=100.0, clip_grad=0.0, optimizer="sgd")
    with pytest.raises(TrialFailed, match=r"loss became|logits are not finite"):
        [training.step() for _ in range(4)]


def test_an_unknown_metric_is_refused_with_the_nearest(start: Start) -> None:
    with pytest.raises(SettingsError, match="balanced_accuracy"):
        start(metric="balanced_acuracy")


def test_close_frees_the_model_and_keeps_the_results(start: Start) -> None:
    training = start(epochs=1)
    training.step()
    training.close()
    assert training.valid_logits.shape == (12, 3)
    assert training.best_weights()
    with pytest.raises(RuntimeError, match="closed"):
        training.step()


def test_threads_follow_the_environment(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
            start()
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_fit_runs_to_the_end_and_reports_each_epoch(
    settings: Callable[..., TrialSettings], task: Multiclass, fold: FoldData
) -> None:
    seen: list[int] = []
    training = Fit(TrainSpec(settings(), task, fold, metric="accuracy", epochs=3, seed=1))
    reports = training.run(report=lambda report: seen.append(report.epoch - training.epoch))
    assert seen == [0, 0, 0]
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert [report.done for report in reports] == [False, False, True]
    assert training.best is not None
    assert training.best.value == max(report.metrics["accuracy"] for report in reports)
    assert training.params_m == pytest.approx(0.373, abs=0.01)


def test_the_loop_is_independent_of_the_form_of_targets_and_outputs(
    settings: Callable[..., TrialSettings], task: Multiclass, fold: FoldData
) -> None:
    """Targets that are several maps, moved by the augmentation, and a model and a loss of the task's own."""

    class Dense(Multiclass):
        def build_model(self, settings: TrialSettings) -> nn.Module:
            return nn.Conv2d(3, 3, 1)

        def build_loss(self, loss: Component, train_targets: Any) -> nn.Module:
            return DenseLoss()

        def collate(self, targets: Any, image_size: tuple[int, int]) -> Any:
            labels = torch.as_tensor(targets)
            return {"labels": labels, "maps": (labels.float()[:, None, None].expand(-1, 32, 32),)}

        def scores(self, logits: Any) -> Any:
            assert logits.shape == (12, 3, 32, 32)
            return super().scores(logits.mean(axis=(2, 3)))

    class DenseLoss(nn.Module):
        def forward(self, output: torch.Tensor, targets: dict[str, Any]) -> torch.Tensor:
            (maps,) = targets["maps"]
            return (output[:, 0] - maps).square().mean((1, 2)) + F.cross_entropy(
                output.mean((2, 3)), targets["labels"], reduction="none"
            )

    dense = Dense(task.target, task.labels, task.counts)
    training = Fit(TrainSpec(settings(), dense, fold, metric="loss", epochs=2, seed=0))
    training.run()
    assert training.valid_logits.shape == (12, 3, 32, 32)
